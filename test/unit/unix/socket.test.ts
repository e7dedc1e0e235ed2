import { closeSync, existsSync, fstatSync, mkdtempSync, readFileSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
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

describe('a connection', () => {
  it('carries bytes and descriptors, which are the receiver’s own', () => {
    const [near, far] = UnixSocket.pair();
    const file = memfd(4096);
    writeSync(file, 'hello', 0);
    near.send(bytes(1, 2, 3, 4), [file, file]);
    closeFd(file);
    const target = new Uint8Array(4);
    const fds = far.receive(target)!;
    expect(target).toEqual(bytes(1, 2, 3, 4));
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

  it('keeps descriptors with the message they came with', () => {
    const [near, far] = UnixSocket.pair();
    const file = memfd(4096);
    near.send(bytes(1, 1));
    near.send(bytes(2, 2), [file]);
    near.send(bytes(3, 3));
    const counts = [0, 1, 2].map(() => {
      const fds = far.receive(new Uint8Array(2))!;
      fds.forEach(closeFd);
      return fds.length;
    });
    expect(counts).toEqual([0, 1, 0]);
    closeFd(file);
    near.close();
    far.close();
  });

  it('puts a message together from its pieces', () => {
    const [near, far] = UnixSocket.pair();
    near.send(bytes(1));
    near.send(bytes(2, 3));
    const target = new Uint8Array(3);
    expect(far.receive(target)).toEqual([]);
    expect(target).toEqual(bytes(1, 2, 3));
    near.close();
    far.close();
  });

  it('carries a message larger than any buffer between the two', async () => {
    const path = join(folder, 'socket');
    const listener = UnixListener.listen(path);
    const source = `
      const { createConnection } = require('node:net');
      const socket = createConnection(${JSON.stringify(path)});
      let received = 0;
      socket.on('data', (data) => {
        received += data.length;
        if (received === 1 << 20) socket.end(data.subarray(-1));
      });`;
    const worker = new Worker(source, { eval: true });
    const exit = new Promise((resolve) => worker.once('exit', resolve));
    const socket = listener.accept();
    const message = new Uint8Array(1 << 20).fill(5);
    message[message.length - 1] = 9;
    socket.send(message);
    const answer = new Uint8Array(1);
    socket.receive(answer);
    expect(answer).toEqual(bytes(9));
    socket.close();
    listener.close();
    await exit;
  });

  it('says by undefined that the other side has ended it between two messages, and throws within one', () => {
    const [near, far] = UnixSocket.pair();
    near.send(bytes(1, 2, 3, 4, 5, 6));
    near.close();
    expect(far.receive(new Uint8Array(4))).toEqual([]);
    expect(() => far.receive(new Uint8Array(4))).toThrow(/ended the connection within a message/);
    expect(far.receive(new Uint8Array(4))).toBeUndefined();
    far.close();
  });

  it('closes what came with a message that ends too early', () => {
    const [near, far] = UnixSocket.pair();
    const file = memfd(4096);
    near.send(bytes(1), [file]);
    near.close();
    closeFd(file);
    expect(() => far.receive(new Uint8Array(2))).toThrow(TransportError);
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

  it('has the descriptors of later pieces, too', () => {
    const [near, far] = UnixSocket.pair();
    const file = memfd(4096);
    near.send(bytes(1), [file]);
    near.send(bytes(2), [file]);
    closeFd(file);
    const fds = far.receive(new Uint8Array(2))!;
    expect(fds).toHaveLength(2);
    fds.forEach(closeFd);
    near.close();
    far.close();
  });

  it('is read and written without waiting, as far as it goes', () => {
    const [near, far] = UnixSocket.pair();
    const file = memfd(4096);
    expect(far.receiveNow(new Uint8Array(4))).toBeUndefined();
    expect(near.sendNow(bytes(1, 2), [file])).toBe(2);
    closeFd(file);
    const target = new Uint8Array(4);
    const received = far.receiveNow(target)!;
    expect(received).toEqual({ count: 2, fds: [expect.any(Number)] });
    received.fds.forEach(closeFd);
    expect(target).toEqual(bytes(1, 2, 0, 0));
    let sent = 0;
    for (let now = -1; now !== 0; sent += now) now = near.sendNow(new Uint8Array(1 << 20));
    expect(sent).toBeGreaterThan(4096);
    near.close();
    for (let now = -1; now !== 0; sent -= now) now = far.receiveNow(new Uint8Array(1 << 20))!.count;
    expect(sent).toBe(0);
    expect(() => far.sendNow(bytes(1))).toThrow('sendmsg: a socket: EPIPE');
    far.close();
  });

  it('refuses more descriptors than it takes without waiting, too', () => {
    const [near, far] = UnixSocket.pair();
    const file = memfd(4096);
    sendManyFds(near, new Array<number>(17).fill(file));
    expect(() => far.receiveNow(new Uint8Array(1))).toThrow(/more descriptors came/);
    closeFd(file);
    near.close();
    far.close();
  });

  it('fails when the other side is gone', () => {
    const [near, far] = UnixSocket.pair();
    far.close();
    expect(() => near.send(bytes(1))).toThrow('sendmsg: a socket: EPIPE');
    near.close();
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
    far.receive(target);
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

  it('has to fit an address', () => {
    expect(() => UnixListener.listen(join(folder, 'a'.repeat(108)))).toThrow(RangeError);
    expect(() => UnixSocket.connect('')).toThrow(RangeError);
  });
});
