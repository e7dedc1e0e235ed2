import { closeSync, mkdtempSync, openSync, readFileSync, readSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { Arena, PAGE_BYTES } from '../../../src/unix/arena.ts';
import { closeFd, memfd } from '../../../src/unix/file-descriptor.ts';
import { openFds } from './open-fds.ts';

const whole = { fdOffset: 0, length: PAGE_BYTES, writable: true } as const;

describe('an arena', () => {
  it('shows a file as memory, and what is written to it is in the file', () => {
    const arena = Arena.reserve(16 * PAGE_BYTES);
    const file = memfd(2 * PAGE_BYTES);
    writeSync(file, 'second page', PAGE_BYTES);
    arena.map(4 * PAGE_BYTES, { fd: file, fdOffset: PAGE_BYTES, length: PAGE_BYTES, writable: true });
    const bytes = new Uint8Array(arena.buffer, 4 * PAGE_BYTES, PAGE_BYTES);
    expect(Buffer.from(bytes.subarray(0, 11)).toString()).toBe('second page');
    bytes[0] = 0x53;
    const read = Buffer.alloc(6);
    readSync(file, read, 0, 6, PAGE_BYTES);
    expect(read.toString()).toBe('Second');
    closeFd(file);
    arena.release();
  });

  it('keeps its views when files come and go, and a stale access has no effect', () => {
    const arena = Arena.reserve(PAGE_BYTES);
    const bytes = new Uint8Array(arena.buffer);
    for (const letter of ['a', 'b']) {
      const file = memfd(PAGE_BYTES);
      writeSync(file, letter, 0);
      arena.map(0, { fd: file, ...whole });
      expect(String.fromCharCode(bytes[0]!)).toBe(letter);
      arena.unmap(0, PAGE_BYTES);
      expect(bytes[0]).toBe(0);
      bytes[0] = 9;
      const read = Buffer.alloc(1);
      readSync(file, read, 0, 1, 0);
      expect(read.toString()).toBe(letter);
      closeFd(file);
    }
    arena.release();
  });

  it('keeps what is written to a file that is not writable to itself', () => {
    const folder = mkdtempSync(join(tmpdir(), 'virtio-arena-'));
    const path = join(folder, 'file');
    writeFileSync(path, Buffer.alloc(PAGE_BYTES, 'x'));
    const fd = openSync(path, 'r');
    const arena = Arena.reserve(PAGE_BYTES);
    expect(() => arena.map(0, { fd, ...whole })).toThrow(/^mmap: .*EACCES$/);
    arena.map(0, { fd, ...whole, writable: false });
    closeSync(fd);
    const bytes = new Uint8Array(arena.buffer);
    bytes[0] = 0x79;
    expect(Buffer.from(bytes.subarray(0, 2)).toString()).toBe('yx');
    expect(readFileSync(path, 'latin1').slice(0, 2)).toBe('xx');
    arena.release();
    rmSync(folder, { recursive: true });
  });

  it('is as large as four gigabytes, and costs nothing before it is used', () => {
    const arena = Arena.reserve(2 ** 32);
    const file = memfd(PAGE_BYTES);
    arena.map(2 ** 32 - PAGE_BYTES, { fd: file, ...whole });
    closeFd(file);
    const last = new Uint8Array(arena.buffer, 2 ** 32 - 1, 1);
    last[0] = 5;
    expect(last[0]).toBe(5);
    arena.release();
  });

  it('maps the whole page in which a file ends', () => {
    const arena = Arena.reserve(2 * PAGE_BYTES);
    const file = memfd(PAGE_BYTES + 100);
    arena.map(0, { fd: file, fdOffset: 0, length: PAGE_BYTES + 100, writable: true });
    closeFd(file);
    expect(new Uint8Array(arena.buffer).every((byte) => byte === 0)).toBe(true);
    arena.unmap(0, PAGE_BYTES + 100);
    arena.release();
  });

  it('refuses what would end the process later', () => {
    for (const bytes of [0, 1, PAGE_BYTES + 1, 2 ** 32 + PAGE_BYTES, -PAGE_BYTES, Number.NaN]) {
      expect(() => Arena.reserve(bytes)).toThrow(RangeError);
    }
    const before = openFds();
    const arena = Arena.reserve(2 * PAGE_BYTES);
    const file = memfd(PAGE_BYTES);
    expect(() => arena.map(0, { fd: file, ...whole, length: 2 * PAGE_BYTES })).toThrow(/cannot be mapped/);
    expect(() => arena.map(0, { fd: file, ...whole, fdOffset: PAGE_BYTES })).toThrow(/cannot be mapped/);
    expect(() => arena.map(PAGE_BYTES, { fd: file, ...whole, length: 2 * PAGE_BYTES })).toThrow(RangeError);
    expect(() => arena.map(1, { fd: file, ...whole })).toThrow(RangeError);
    expect(() => arena.unmap(0, 0)).toThrow(RangeError);
    closeFd(file);
    expect(openFds()).toBe(before);
    arena.release();
  });
});
