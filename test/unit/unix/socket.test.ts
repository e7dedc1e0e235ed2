import { closeSync, existsSync, fstatSync, mkdtempSync, readFileSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { TransportError } from '../../../src/spec/fault.ts';
import { closeFd, memfd } from '../../../src/unix/file-descriptor.ts';
import { libc } from '../../../src/unix/libc.ts';
import { FixedMemory } from '../../../src/unix/mapping.ts';
import { UnixListener, UnixSocket } from '../../../src/unix/socket.ts';
import { openFds } from './open-fds.ts';

let folder: string;
let fdsBefore: number;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'virtio-unix-'));
  fdsBefore = openFds();
});
afterEach(() => {
  expect(openFds()).toBe(fdsBefore);
  rmSync(folder, { recursive: true });
});

/** One byte with more descriptors than `send` allows. */
function sendManyFds(socket: UnixSocket, fds: readonly number[]): void {
  const { address, view } = new FixedMemory(4096);
  view.setBigUint64(16, address + 64n, true);
  view.setBigUint64(24, 1n, true);
  view.setBigUint64(32, address + 128n, true);
  view.setBigUint64(40, BigInt(16 + 4 * fds.length), true);
  view.setBigUint64(64, address + 1024n, true);
  view.setBigUint64(72, 1n, true);
  view.setBigUint64(128, BigInt(16 + 4 * fds.length), true);
  view.setUint32(136, 1, true);
  view.setUint32(140, 1, true);
  fds.forEach((fd, n) => {
    view.setInt32(144 + 4 * n, fd, true);
  });
  expect(libc().sendmsg(socket.fd, address, 0)).toBe(1);
}

const bytes = (...values: number[]): Uint8Array => Uint8Array.from(values);

/** Reads a byte at a time until as many as there is room for have come; the descriptors that came with them. */
function receiveAll(socket: UnixSocket, target: Uint8Array): number[] {
  const fds: number[] = [];
  for (let n = 0; n < target.length; n++) fds.push(...socket.receive(target.subarray(n, n + 1))!.fds);
  return fds;
}

describe('a connection', () => {
  it('carries bytes and descriptors, which are the receiver’s own', () => {
    const [near, far] = UnixSocket.pair();
    const file = memfd(4096);
    writeSync(file, 'hello', 0);
    expect(near.send(bytes(1, 2, 3, 4), [file, file])).toBe(4);
    closeFd(file);
    const target = new Uint8Array(4);
    const { count, fds } = far.receive(target)!;
    expect([count, target]).toEqual([4, bytes(1, 2, 3, 4)]);
    expect(fds).toHaveLength(2);
    for (const fd of fds) {
      expect(fstatSync(fd).size).toBe(4096);
      expect(readFileSync(`/proc/self/fd/${fd}`, 'latin1').slice(0, 5)).toBe('hello');
      expect(readFileSync(`/proc/self/fdinfo/${fd}`, 'latin1')).toMatch(/flags:\s+0?2\d{6}/);
      closeFd(fd);
    }
    near.close();
    far.close();
  });

  it('keeps descriptors with the bytes they came with', () => {
    const [near, far] = UnixSocket.pair();
    const file = memfd(4096);
    near.send(bytes(1, 1));
    near.send(bytes(2, 2), [file]);
    near.send(bytes(3, 3), [file]);
    closeFd(file);
    const counts = Array.from({ length: 6 }, () => {
      const fds = receiveAll(far, new Uint8Array(1));
      fds.forEach(closeFd);
      return fds.length;
    });
    expect(counts).toEqual([0, 0, 1, 0, 1, 0]);
    near.close();
    far.close();
  });

  it('gives what has come, and says when there is nothing or no more', () => {
    const [near, far] = UnixSocket.pair();
    const target = new Uint8Array(4);
    expect(far.receive(target)).toBeUndefined();
    near.send(bytes(1));
    near.send(bytes(2, 3));
    expect(far.receive(target)).toEqual({ count: 3, fds: [] });
    expect(target).toEqual(bytes(1, 2, 3, 0));
    near.send(bytes(4, 5));
    expect(far.isAbandoned).toBe(false);
    near.close();
    expect(far.isAbandoned).toBe(true);
    expect(far.receive(target)).toEqual({ count: 2, fds: [] });
    expect(far.receive(target)).toEqual({ count: 0, fds: [] });
    far.close();
  });

  it('takes what there is room for, and fails when the other side is gone', () => {
    const [near, far] = UnixSocket.pair();
    let sent = 0;
    for (let now = -1; now !== 0; sent += now) now = near.send(new Uint8Array(1 << 20));
    expect(sent).toBeGreaterThan(4096);
    near.close();
    for (let now = -1; now !== 0; sent -= now) now = far.receive(new Uint8Array(1 << 20))!.count;
    expect(sent).toBe(0);
    expect(() => far.send(bytes(1))).toThrow('sendmsg: a socket: EPIPE');
    far.close();
  });

  it('refuses more descriptors than it takes, and closes those that came', () => {
    const [near, far] = UnixSocket.pair();
    const file = memfd(4096);
    const fds = new Array<number>(17).fill(file);
    expect(() => near.send(bytes(1), fds)).toThrow(RangeError);
    sendManyFds(near, fds);
    expect(() => far.receive(new Uint8Array(1))).toThrow(/more descriptors came/);
    closeFd(file);
    near.close();
    far.close();
  });
});

describe('a path', () => {
  it('is where others connect, until it is closed', () => {
    const path = join(folder, 'socket');
    const listener = UnixListener.listen(path);
    const near = UnixSocket.connect(path);
    const far = listener.accept();
    near.send(bytes(7));
    const target = new Uint8Array(1);
    expect(far.receive(target)).toEqual({ count: 1, fds: [] });
    expect(target).toEqual(bytes(7));
    near.close();
    far.close();
    listener.close();
    expect(existsSync(path)).toBe(false);
    expect(() => UnixSocket.connect(path)).toThrow(`connect: ${path}: ENOENT`);
  });

  it('is taken over from a process that is gone, but not from one that listens', () => {
    const path = join(folder, 'socket');
    const listener = UnixListener.listen(path);
    expect(() => UnixListener.listen(path)).toThrow(`${path} is taken`);
    // As a process that is killed leaves it.
    closeSync(listener.fd);
    const second = UnixListener.listen(path);
    second.close();
  });

  it('is left alone when it is a file', () => {
    const path = join(folder, 'file');
    writeFileSync(path, 'precious');
    expect(() => UnixListener.listen(path)).toThrow(TransportError);
    expect(readFileSync(path, 'utf8')).toBe('precious');
  });

  it('where nobody accepts is not waited for', () => {
    const path = join(folder, 'socket');
    const listener = UnixListener.listen(path);
    const sockets: UnixSocket[] = [];
    expect(() => {
      for (let n = 0; n < 1000; n++) sockets.push(UnixSocket.connect(path));
    }).toThrow(`connect: ${path}: EAGAIN`);
    // Nor is whoever wants to listen there.
    expect(() => UnixListener.listen(path)).toThrow(`${path} is taken`);
    for (const socket of sockets) socket.close();
    listener.close();
  });

  it('has to fit an address', () => {
    expect(() => UnixListener.listen(join(folder, 'a'.repeat(108)))).toThrow(RangeError);
    expect(() => UnixSocket.connect('')).toThrow(RangeError);
  });
});
