import { statSync, unlinkSync } from 'node:fs';
import { TransportError } from '../spec/fault.ts';
import { closeFd } from './file-descriptor.ts';
import { callError, checked, Errno, errorNumber, libc, repeated } from './libc.ts';
import { MessageMemory, MSG_CTRUNC } from './message-memory.ts';

const AF_UNIX = 1;
const SOCK_STREAM_CLOEXEC = 1 | 0o2000000;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const MSG_DONTWAIT = 0x40;
const MSG_NOSIGNAL = 0x4000;
const MSG_CMSG_CLOEXEC = 0x4000_0000;
const POLLIN = 1;
const POLLHUP = 0x10;

/** The longest path that fits an address, without its final zero. */
const MOST_PATH_BYTES = 107;
const BACKLOG = 16;

/** One for each thread: calls do not overlap. */
let shared: MessageMemory | undefined;

function messageMemory(): MessageMemory {
  shared ??= new MessageMemory();
  return shared;
}

/** A path to which others connect. */
export class UnixListener {
  readonly fd: number;
  readonly #path: string;
  #closed = false;

  private constructor(fd: number, path: string) {
    this.fd = fd;
    this.#path = path;
  }

  /** A path that a process left behind is taken over; one where somebody listens is not. Throws TransportError. */
  static listen(path: string): UnixListener {
    const address = socketAddress(path);
    const fd = newSocket();
    const bind = (): number => checked(libc().bind(fd, address, address.length), 'bind', path);
    try {
      try {
        bind();
      } catch (error) {
        if (errorNumber() !== Errno.EADDRINUSE) throw error;
        if (!isLeftBehind(path))
          throw new TransportError(`${path} is taken: somebody listens there, or it is no socket`);
        unlinkSync(path);
        bind();
      }
      checked(libc().listen(fd, BACKLOG), 'listen', path);
    } catch (error) {
      closeFd(fd);
      throw error;
    }
    return new UnixListener(fd, path);
  }

  /** The next connection; blocks until there is one. */
  accept(): UnixSocket {
    for (;;) {
      const fd = libc().accept4(this.fd, null, null, SOCK_CLOEXEC);
      if (fd >= 0) return UnixSocket.over(fd);
      if (errorNumber() === Errno.EAGAIN) poll(this.fd, POLLIN, -1);
      else if (errorNumber() !== Errno.EINTR) throw callError('accept4', this.#path);
    }
  }

  /** Takes the path away, too. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    closeFd(this.fd);
    try {
      unlinkSync(this.#path);
    } catch {
      // Somebody else has done it.
    }
  }
}

/** A connection that carries descriptors of files next to its bytes. No call waits for the other side. All throw TransportError. */
export class UnixSocket {
  readonly fd: number;
  #closed = false;

  private constructor(fd: number) {
    this.fd = fd;
  }

  /** Fails with the `code` EAGAIN where too many wait to be accepted. */
  static connect(path: string): UnixSocket {
    const address = socketAddress(path);
    const fd = newSocket(SOCK_NONBLOCK);
    try {
      repeated(() => libc().connect(fd, address, address.length), 'connect', path);
    } catch (error) {
      closeFd(fd);
      throw error;
    }
    return new UnixSocket(fd);
  }

  /** Two that are connected to each other. */
  static pair(): [UnixSocket, UnixSocket] {
    const fds = new Uint8Array(8);
    checked(libc().socketpair(AF_UNIX, SOCK_STREAM_CLOEXEC, 0, fds), 'socketpair', 'a new one');
    const view = new DataView(fds.buffer);
    return [new UnixSocket(view.getInt32(0, true)), new UnixSocket(view.getInt32(4, true))];
  }

  /** Takes over the descriptor of a connection. */
  static over(fd: number): UnixSocket {
    return new UnixSocket(fd);
  }

  /** The other side has closed the connection; there may still be something to receive. */
  get isAbandoned(): boolean {
    return (poll(this.fd, 0, 0) & POLLHUP) !== 0;
  }

  /**
   * Fills `bytes` as far as something has come: how many bytes, 0 at the end of the connection, and the descriptors that came
   * with them, which belong to the caller and are not inherited by other programs. Undefined when nothing has come yet. Read the
   * fixed part of a message first, by itself: what comes with later bytes is then the next message's.
   */
  receive(bytes: Uint8Array): { readonly count: number; readonly fds: readonly number[] } | undefined {
    const memory = messageMemory();
    for (;;) {
      memory.clear(bytes.length);
      const count = libc().recvmsg(this.fd, memory.header, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
      if (count >= 0) {
        const fds = memory.takeFds();
        if ((memory.flags & MSG_CTRUNC) !== 0) {
          for (const fd of fds) closeFd(fd);
          throw new TransportError('recvmsg: more descriptors came than are taken');
        }
        bytes.set(memory.staging(count));
        return { count, fds };
      }
      if (errorNumber() === Errno.EAGAIN) return undefined;
      if (errorNumber() !== Errno.EINTR) throw callError('recvmsg', 'a socket');
    }
  }

  /**
   * Sends of `bytes`, at least one, what there is room for, and copies of `fds` with the first one; how many bytes it were. The
   * descriptors stay the caller's.
   */
  send(bytes: Uint8Array, fds: readonly number[] = []): number {
    const memory = messageMemory();
    for (;;) {
      memory.fill(bytes, 0, fds);
      const sent = libc().sendmsg(this.fd, memory.header, MSG_NOSIGNAL | MSG_DONTWAIT);
      if (sent >= 0) return sent;
      if (errorNumber() === Errno.EAGAIN) return 0;
      if (errorNumber() !== Errno.EINTR) throw callError('sendmsg', 'a socket');
    }
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    closeFd(this.fd);
  }
}

/** What is the case of `events`, and POLLHUP, once anything is; 0 when nothing was for `limitMs`, -1 being for ever. */
function poll(fd: number, events: number, limitMs: number): number {
  const entry = new DataView(new ArrayBuffer(8));
  entry.setInt32(0, fd, true);
  entry.setInt16(4, events, true);
  repeated(() => libc().poll(new Uint8Array(entry.buffer), 1, limitMs), 'poll', 'a socket');
  return entry.getInt16(6, true);
}

function newSocket(flags = 0): number {
  return checked(libc().socket(AF_UNIX, SOCK_STREAM_CLOEXEC | flags, 0), 'socket', 'a new one');
}

/** struct sockaddr_un. */
function socketAddress(path: string): Uint8Array {
  const name = new TextEncoder().encode(path);
  if (name.length === 0 || name.length > MOST_PATH_BYTES || name.includes(0)) {
    throw new RangeError(`"${path}" is no path of a socket: those have 1 to ${MOST_PATH_BYTES} bytes`);
  }
  const address = new Uint8Array(3 + name.length);
  new DataView(address.buffer).setUint16(0, AF_UNIX, true);
  address.set(name, 2);
  return address;
}

/** Whether the path is of a socket to which nobody listens any more. Does not wait. Throws TransportError. */
export function isLeftBehind(path: string): boolean {
  // To connect to a file fails in the same way.
  if (statSync(path, { throwIfNoEntry: false })?.isSocket() !== true) return false;
  const address = socketAddress(path);
  const fd = newSocket(SOCK_NONBLOCK);
  try {
    return libc().connect(fd, address, address.length) < 0 && errorNumber() === Errno.ECONNREFUSED;
  } finally {
    closeFd(fd);
  }
}
