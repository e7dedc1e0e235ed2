import { expect, it } from 'vitest';
import { TransportError } from '../../../src/spec/fault.ts';
import {
  discardDisk,
  flushDisk,
  readDisk,
  SimpleDisk,
  type SimpleDiskFunctions,
  writeDisk,
  writeZeroesDisk,
} from '../../../src/storage/index.ts';
import { pattern } from './disk-model.ts';

const read: SimpleDiskFunctions['read'] = async (_position, length) => pattern(length, 1);

it('A disk of one read function is read-only and offers nothing else', async () => {
  const disk = new SimpleDisk({ capacitySectors: 8, read });
  expect(disk.readOnly).toBe(true);
  expect(disk.supports).toEqual({ flush: false, discard: false, writeZeroes: false });
  expect(await readDisk(disk, 512, 1024)).toEqual(pattern(1024, 1));
  await expect(writeDisk(disk, 0, pattern(512, 2))).rejects.toThrow('read-only');
});

it('A disk without a discard or writeZeroes function refuses both', async () => {
  const disk = new SimpleDisk({ capacitySectors: 8, read, write: async () => undefined });
  await expect(discardDisk(disk, 0, 512)).rejects.toThrow('does not support it');
  await expect(writeZeroesDisk(disk, 0, 512)).rejects.toThrow(TypeError);
});

it('A read function that returns the wrong number of bytes, or none, is blamed', async () => {
  const results: unknown[] = [new Uint8Array(511), new Uint8Array(513), undefined, 'x'.repeat(512), [1]];
  for (const result of results) {
    const disk = new SimpleDisk({ capacitySectors: 8, read: async () => result as Uint8Array });
    const failure = readDisk(disk, 1024, 512);
    await expect(failure).rejects.toBeInstanceOf(TransportError);
    await expect(failure).rejects.toThrow(/read function given to SimpleDisk returned .* for 512 bytes at 1024/);
  }
});

it('A function that throws or rejects fails the request, and is blamed with its own message', async () => {
  const fault = new Error('the server is gone');
  const disk = new SimpleDisk({
    capacitySectors: 8,
    read: () => {
      throw fault;
    },
    write: () => Promise.reject(fault),
    flush: () => Promise.reject(fault),
    discard: () => Promise.reject(fault),
    writeZeroes: () => Promise.reject('no error at all'),
  });
  const message = (operation: string) => `The ${operation} function given to SimpleDisk failed: the server is gone`;
  await expect(readDisk(disk, 0, 512)).rejects.toThrow(message('read'));
  await expect(readDisk(disk, 0, 512)).rejects.toHaveProperty('cause', fault);
  await expect(writeDisk(disk, 0, pattern(512, 1))).rejects.toThrow(message('write'));
  await expect(flushDisk(disk)).rejects.toThrow(message('flush'));
  await expect(discardDisk(disk, 0, 512)).rejects.toThrow(message('discard'));
  await expect(writeZeroesDisk(disk, 0, 512)).rejects.toThrow('no error at all');
});

it('What a write function gets is its own', async () => {
  const kept: Uint8Array[] = [];
  const write = async (_position: number, bytes: Uint8Array): Promise<void> => void kept.push(bytes);
  const disk = new SimpleDisk({ capacitySectors: 8, read, write });
  const bytes = pattern(512, 1);
  await writeDisk(disk, 0, bytes);
  bytes.fill(0);
  expect(kept).toEqual([pattern(512, 1)]);
});

it('A disk of functions says that it was resized, and closes what is behind it', async () => {
  const calls: string[] = [];
  const disk = new SimpleDisk({ capacitySectors: 8, read, close: async () => void calls.push('close') });
  disk.onResize = () => calls.push(`resize ${disk.capacitySectors}`);
  disk.resize(8);
  disk.resize(16);
  await disk.close();
  expect(calls).toEqual(['resize 16', 'close']);
});
