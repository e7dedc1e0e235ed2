import { TransportError } from '../spec/fault.ts';
import { closeFd, kindOfFd } from './file-descriptor.ts';
import { callError, checked, Errno, errorNumber, libc } from './libc.ts';

const EFD_CLOEXEC = 0o2000000;
const O_NONBLOCK = 0o4000;
const F_GETFL = 3;
const POLLIN = 1;
const POLLOUT = 4;

const ONE = Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0);

/**
 * A counter in the kernel that wakes up whoever waits for it: how the two sides of a queue in different processes notify each
 * other. Neither call blocks, whatever the other side has made of the descriptor.
 */
export class EventFd {
  readonly fd: number;
  /** The other side may have left it blocking; its flags are shared and so not ours to change. */
  readonly #blocking: boolean;
  readonly #count = new Uint8Array(8);
  readonly #poll = new DataView(new ArrayBuffer(8));
  #closed = false;

  private constructor(fd: number) {
    this.fd = fd;
    this.#blocking = (checked(libc().fcntl(fd, F_GETFL), 'fcntl', 'an eventfd') & O_NONBLOCK) === 0;
    this.#poll.setInt32(0, fd, true);
  }

  static create(): EventFd {
    return new EventFd(checked(libc().eventfd(0, EFD_CLOEXEC | O_NONBLOCK), 'eventfd', 'a new one'));
  }

  /** Takes over a descriptor that was received. Throws TransportError, and leaves it open, when it is of another kind. */
  static from(fd: number): EventFd {
    const kind = kindOfFd(fd);
    if (kind !== 'anon_inode:[eventfd]') throw new TransportError(`descriptor ${fd} is no eventfd but "${kind}"`);
    return new EventFd(fd);
  }

  /** Adds one. A counter that is full says so already. */
  signal(): void {
    if (this.#blocking && !this.#ready(POLLOUT)) return;
    if (libc().write(this.fd, ONE, 8) < 0 && errorNumber() !== Errno.EAGAIN) throw callError('write', 'an eventfd');
  }

  /** Sets it to zero; true when it was not. */
  take(): boolean {
    if (this.#blocking && !this.#ready(POLLIN)) return false;
    if (libc().read(this.fd, this.#count, 8) === 8) return true;
    if (errorNumber() === Errno.EAGAIN) return false;
    throw callError('read', 'an eventfd');
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    closeFd(this.fd);
  }

  #ready(events: number): boolean {
    this.#poll.setInt16(4, events, true);
    return libc().poll(new Uint8Array(this.#poll.buffer), 1, 0) === 1;
  }
}
