import koffi from 'koffi';
import { TransportError } from '../spec/fault.ts';

/** Memory outside of JavaScript, by its address: it does not move, so that the system can be told where it is. */
export type Address = bigint;

/** What may stand for a pointer: an address, or bytes that the call uses before it returns. */
type Pointer = Address | Uint8Array | null;

/** The functions of the C library that are used here. Each returns -1, and sets an error number, when it fails. */
interface LibC {
  accept4(fd: number, address: Pointer, length: Pointer, flags: number): number;
  bind(fd: number, address: Pointer, length: number): number;
  connect(fd: number, address: Pointer, length: number): number;
  epoll_create1(flags: number): number;
  epoll_ctl(epoll: number, operation: number, fd: number, event: Pointer): number;
  epoll_wait(epoll: number, events: Pointer, most: number, timeoutMs: number): number;
  eventfd(initial: number, flags: number): number;
  fallocate(fd: number, mode: number, offset: number, length: number): number;
  fcntl(fd: number, command: number): number;
  listen(fd: number, backlog: number): number;
  lseek(fd: number, offset: number, whence: number): number;
  memfd_create(name: string, flags: number): number;
  mmap(address: Pointer, length: number, protection: number, flags: number, fd: number, offset: number): Address;
  munmap(address: Pointer, length: number): number;
  poll(entries: Pointer, count: number, timeoutMs: number): number;
  read(fd: number, bytes: Pointer, length: number): number;
  recvmsg(fd: number, header: Pointer, flags: number): number;
  sendmsg(fd: number, header: Pointer, flags: number): number;
  socket(domain: number, kind: number, protocol: number): number;
  socketpair(domain: number, kind: number, protocol: number, pair: Pointer): number;
  write(fd: number, bytes: Pointer, length: number): number;
}

const PROTOTYPES: Readonly<Record<keyof LibC, string>> = {
  accept4: 'int accept4(int, void *, void *, int)',
  bind: 'int bind(int, void *, unsigned int)',
  connect: 'int connect(int, void *, unsigned int)',
  epoll_create1: 'int epoll_create1(int)',
  epoll_ctl: 'int epoll_ctl(int, int, int, void *)',
  epoll_wait: 'int epoll_wait(int, void *, int, int)',
  eventfd: 'int eventfd(unsigned int, int)',
  fallocate: 'int fallocate(int, int, int64_t, int64_t)',
  fcntl: 'int fcntl(int, int)',
  listen: 'int listen(int, int)',
  lseek: 'int64_t lseek(int, int64_t, int)',
  memfd_create: 'int memfd_create(const char *, unsigned int)',
  mmap: 'void *mmap(void *, size_t, int, int, int, int64_t)',
  munmap: 'int munmap(void *, size_t)',
  poll: 'int poll(void *, unsigned long, int)',
  read: 'int64_t read(int, void *, size_t)',
  recvmsg: 'int64_t recvmsg(int, void *, int)',
  sendmsg: 'int64_t sendmsg(int, void *, int)',
  socket: 'int socket(int, int, int)',
  socketpair: 'int socketpair(int, int, int, void *)',
  write: 'int64_t write(int, void *, size_t)',
};

let loaded: LibC | undefined;

/** The C library, looked up when it is first needed: systems without it can do everything else. Throws TransportError. */
export function libc(): LibC {
  if (loaded !== undefined) return loaded;
  if (process.platform !== 'linux') {
    throw new TransportError(`this needs Linux; here is ${process.platform}`);
  }
  const library = koffi.load(null);
  const functions = Object.entries(PROTOTYPES).map(([name, prototype]) => [name, library.func(prototype)]);
  loaded = Object.fromEntries(functions) as LibC;
  return loaded;
}

/** The error number of the call that failed last, in this thread. */
export function errorNumber(): number {
  return koffi.errno();
}

/** Numbers of errors that are met and told apart. */
export const Errno = { EINTR: 4, EAGAIN: 11, EADDRINUSE: 98, ECONNREFUSED: 111 } as const;

/** The error for a call that has just failed, with its `code` as Node's have; `what` says on which path or what for. */
export function callError(name: string, what: string): TransportError {
  const number = errorNumber();
  const code = Object.entries(koffi.os.errno).find(([, value]) => value === number)?.[0] ?? number;
  return Object.assign(new TransportError(`${name}: ${what}: ${code}`), { code });
}

/** The result of a call; throws TransportError when it is -1. */
export function checked(result: number, name: string, what: string): number {
  if (result < 0) throw callError(name, what);
  return result;
}

/** As `checked`; calls again when a signal came in between. */
export function repeated(call: () => number, name: string, what: string): number {
  for (;;) {
    const result = call();
    if (result >= 0) return result;
    if (errorNumber() !== Errno.EINTR) throw callError(name, what);
  }
}
