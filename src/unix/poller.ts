import koffi from 'koffi';
import { closeFd } from './file-descriptor.ts';
import { checked, libc, repeated } from './libc.ts';

const EPOLL_CLOEXEC = 0o2000000;
const EPOLL_CTL_ADD = 1;
const EPOLL_CTL_DEL = 2;
const EPOLLIN = 0x1;
const EPOLLRDHUP = 0x2000;
const EPOLLET = 2 ** 31;

/** struct epoll_event: the events, then eight bytes of ours; packed on this one architecture only. */
const DATA = process.arch === 'x64' ? 4 : 8;
const EVENT_SIZE: number = DATA + 8;
const MOST_EVENTS = 64;

/** Waits for several descriptors at once, in a thread that has nothing else to do (epoll). */
export class Poller {
  /** Can be read when `wait` would not block: for `whenReadable`. */
  readonly fd: number;
  readonly #events = new Uint8Array(EVENT_SIZE * MOST_EVENTS);
  readonly #view = new DataView(this.#events.buffer);
  readonly #tags: number[] = [];

  constructor() {
    this.fd = checked(libc().epoll_create1(EPOLL_CLOEXEC), 'epoll_create1', 'a poller');
  }

  /**
   * From now on `wait` returns `tag`, 32 bit, when `fd` can be read or its other end is gone. With `edge` only when that is new:
   * an eventfd then needs no reading.
   */
  add(fd: number, tag: number, { edge = false }: { readonly edge?: boolean } = {}): void {
    this.#view.setUint32(0, (EPOLLIN | EPOLLRDHUP) + (edge ? EPOLLET : 0), true);
    this.#view.setUint32(DATA, tag, true);
    this.#view.setUint32(DATA + 4, 0, true);
    checked(libc().epoll_ctl(this.fd, EPOLL_CTL_ADD, fd, this.#events), 'epoll_ctl', `adding descriptor ${fd}`);
  }

  /** To be called before the descriptor is closed. */
  remove(fd: number): void {
    checked(libc().epoll_ctl(this.fd, EPOLL_CTL_DEL, fd, this.#events), 'epoll_ctl', `removing descriptor ${fd}`);
  }

  /** Blocks the thread until something has happened, at most `timeoutMs`; -1 is for ever. The tags are good until the next call. */
  wait(timeoutMs: number): readonly number[] {
    const call = (): number => libc().epoll_wait(this.fd, this.#events, MOST_EVENTS, timeoutMs);
    const count = repeated(call, 'epoll_wait', 'a poller');
    this.#tags.length = count;
    for (let n = 0; n < count; n++) this.#tags[n] = this.#view.getUint32(EVENT_SIZE * n + DATA, true);
    return this.#tags;
  }

  close(): void {
    closeFd(this.fd);
  }
}

/**
 * Calls back on the event loop whenever `fd` can be read or its other end is gone, until `close`, which comes before the
 * descriptor is closed. The descriptor becomes non-blocking.
 */
export function whenReadable(fd: number, callback: () => void): { close(): void } {
  return koffi.node.poll(fd, { readable: true, disconnect: true }, callback);
}

/** As `whenReadable`, whenever `fd` can be written. One descriptor is waited for in one way at a time. */
export function whenWritable(fd: number, callback: () => void): { close(): void } {
  return koffi.node.poll(fd, { writable: true, disconnect: true }, callback);
}
