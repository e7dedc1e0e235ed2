import { statSync, unlinkSync } from 'node:fs';
import { TransportError } from '../spec/fault.ts';
import { closeFd } from './file-descriptor.ts';
import { callError, checked, Errno, errorNumber, libc, repeated } from './libc.ts';
import { MessageMemory, MSG_CTRUNC } from './message-memory.ts';

const AF_UNIX = 1;
const SOCK_STREAM_CLOEXEC = 1 | 0o2000000;
const SOCK_CLOEXEC = 0o2000000;
const MSG_DONTWAIT = 0x40;
const MSG_NOSIGNAL = 0x4000;
const MSG_CMSG_CLOEXEC = 0x4000_0000;
const POLLIN = 1;
const POLLOUT = 4;

/** The longest path that fits an address, without its final zero. */
const MOST_PATH_BYTES = 107;
const BACKLOG = 16;
/** How long the rest of a message may take once it has begun, and how long the other side may leave a message unread. */
const STALL_LIMIT_MS = 5000;

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
      if (errorNumber() === Errno.EAGAIN) waitFor(this.fd, POLLIN, -1);
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

/**
 * A connection that carries descriptors of files next to its bytes. `receive` and `send` block the thread; but once a message
 * has begun, or when the other side does not read, for at most five seconds. All throw TransportError.
 */
export class UnixSocket {
  readonly fd: number;
  #closed = false;

  private constructor(fd: number) {
    this.fd = fd;
  }

  static connect(path: string): UnixSocket {
    const address = socketAddress(path);
    const fd = newSocket();
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

  /**
   * Fills `bytes` whole. The descriptors that came with them belong to the caller; they are not inherited by other programs.
   * Undefined when the other side has ended the connection before a first byte. Read the fixed part of a message first, by
   * itself: what comes with later bytes is then the next message's.
   */
  receive(bytes: Uint8Array): readonly number[] | undefined {
    const memory = messageMemory();
    const fds: number[] = [];
    try {
      for (let done = 0; done < bytes.length; ) {
        const received = this.#receiveSome(memory, bytes.length - done, done === 0 ? -1 : STALL_LIMIT_MS);
        fds.push(...memory.takeFds());
        if ((memory.flags & MSG_CTRUNC) !== 0)
          throw new TransportError('recvmsg: more descriptors came than are taken');
        if (received === 0 && done === 0) return undefined;
        if (received === 0) throw new TransportError('recvmsg: the other side ended the connection within a message');
        bytes.set(memory.staging(received), done);
        done += received;
      }
      return fds;
    } catch (error) {
      for (const fd of fds) closeFd(fd);
      throw error;
    }
  }

  /** Sends all of `bytes`, at least one, and copies of `fds` with its first byte. The descriptors stay the caller's. */
  send(bytes: Uint8Array, fds: readonly number[] = []): void {
    const memory = messageMemory();
    for (let done = 0; done < bytes.length; ) {
      memory.fill(bytes, done, done === 0 ? fds : []);
      const sent = libc().sendmsg(this.fd, memory.header, MSG_NOSIGNAL);
      if (sent > 0) done += sent;
      else if (errorNumber() === Errno.EAGAIN) this.#await(POLLOUT, STALL_LIMIT_MS);
      else if (errorNumber() !== Errno.EINTR) throw callError('sendmsg', 'a socket');
    }
  }

  /**
   * Fills `bytes` as far as something has come, without waiting: how many bytes, 0 at the end of the connection, and the
   * descriptors that came with them, which belong to the caller. Undefined when nothing has come yet.
   */
  receiveNow(bytes: Uint8Array): { readonly count: number; readonly fds: readonly number[] } | undefined {
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

  /** Sends of `bytes` what goes without waiting, and copies of `fds` with the first one; how many bytes it were. */
  sendNow(bytes: Uint8Array, fds: readonly number[] = []): number {
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

  #receiveSome(memory: MessageMemory, most: number, limitMs: number): number {
    for (;;) {
      if (limitMs >= 0) this.#await(POLLIN, limitMs);
      memory.clear(most);
      const received = libc().recvmsg(this.fd, memory.header, MSG_CMSG_CLOEXEC);
      if (received >= 0) return received;
      if (errorNumber() === Errno.EAGAIN) this.#await(POLLIN, limitMs);
      else if (errorNumber() !== Errno.EINTR) throw callError('recvmsg', 'a socket');
    }
  }

  #await(events: number, limitMs: number): void {
    if (!waitFor(this.fd, events, limitMs)) {
      throw new TransportError(
        `the other side of a socket has done nothing for ${limitMs} ms in the middle of a message`,
      );
    }
  }
}

/** Blocks until `fd` can be read or written or is at its end, at most `limitMs`; true when it is. */
function waitFor(fd: number, events: number, limitMs: number): boolean {
  const entry = new DataView(new ArrayBuffer(8));
  entry.setInt32(0, fd, true);
  entry.setInt16(4, events, true);
  return repeated(() => libc().poll(new Uint8Array(entry.buffer), 1, limitMs), 'poll', 'a socket') > 0;
}

function newSocket(): number {
  return checked(libc().socket(AF_UNIX, SOCK_STREAM_CLOEXEC, 0), 'socket', 'a new one');
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

/** Whether the path is of a socket to which nobody listens any more. */
function isLeftBehind(path: string): boolean {
  // To connect to a file fails in the same way.
  if (statSync(path, { throwIfNoEntry: false })?.isSocket() !== true) return false;
  const address = socketAddress(path);
  const fd = newSocket();
  try {
    return libc().connect(fd, address, address.length) < 0 && errorNumber() === Errno.ECONNREFUSED;
  } finally {
    closeFd(fd);
  }
}
