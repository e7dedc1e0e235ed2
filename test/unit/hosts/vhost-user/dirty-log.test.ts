import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { DirtyLog } from '../../../../src/hosts/vhost-user/dirty-log.ts';
import { GuestMemory } from '../../../../src/memory/guest-memory.ts';
import { TransportError } from '../../../../src/spec/fault.ts';
import { Arena } from '../../../../src/unix/arena.ts';
import { closeFd, memfd } from '../../../../src/unix/file-descriptor.ts';

const LOG_BYTES = 16;
const FILE_BYTES = 8192;

describe('a log of what is written', () => {
  let fd: number;
  let memory: GuestMemory;
  let log: DirtyLog;
  let seen: Uint8Array;
  beforeEach(() => {
    fd = memfd(FILE_BYTES);
    memory = new GuestMemory();
    log = new DirtyLog(memory);
    const arena = Arena.reserve(FILE_BYTES);
    arena.map(0, { fd, fdOffset: 0, length: FILE_BYTES, writable: true });
    seen = new Uint8Array(arena.buffer, 0, FILE_BYTES);
  });
  afterEach(() => {
    log.close();
    closeFd(fd);
  });

  /** Pages that are marked, in a log at `start` of the file. */
  const marked = (start = 0): number[] =>
    Array.from({ length: 8 * LOG_BYTES }, (_, page) => page).filter(
      (page) => (seen[start + (page >>> 3)]! & (1 << (page & 7))) !== 0,
    );

  it('has a bit for each page that is touched, and keeps those that are set', () => {
    log.open(fd, { bytes: LOG_BYTES, fileOffset: 0 });
    seen[15] = 0x80;
    log.wanted = true;
    memory.onWrite?.(0, 1);
    memory.onWrite?.(4095, 2);
    memory.onWrite?.(9 * 4096, 3 * 4096);
    expect(marked()).toEqual([0, 1, 9, 10, 11, 127]);
    memory.onWrite?.(127 * 4096, 4096 * 100);
    memory.onWrite?.(2 ** 40, 7);
    expect(marked()).toEqual([0, 1, 9, 10, 11, 127]);
    expect(seen.subarray(LOG_BYTES).every((byte) => byte === 0)).toBe(true);
  });

  it('is only written while it is wanted, and not after it was closed', () => {
    log.open(fd, { bytes: LOG_BYTES, fileOffset: 0 });
    expect(memory.onWrite).toBeUndefined();
    log.wanted = true;
    memory.onWrite?.(0, 1);
    log.wanted = false;
    expect(memory.onWrite).toBeUndefined();
    log.wanted = true;
    log.close();
    expect([memory.onWrite, marked()]).toEqual([undefined, [0]]);
  });

  it('may be wanted before it is there, and gives way to another one', () => {
    log.wanted = true;
    memory.onWrite?.(0, 1);
    log.open(fd, { bytes: LOG_BYTES, fileOffset: 0 });
    memory.onWrite?.(4096, 1);
    log.open(fd, { bytes: LOG_BYTES, fileOffset: 4096 });
    memory.onWrite?.(2 * 4096, 1);
    expect([marked(0), marked(4096)]).toEqual([[1], [2]]);
  });

  it.each([
    ['of nothing', 0, 0],
    ['that is too large for any machine', 2 ** 33, 0],
    ['that does not begin with a page', LOG_BYTES, 100],
  ])('is refused when it is one %s', (_, bytes, fileOffset) => {
    expect(() => log.open(fd, { bytes, fileOffset })).toThrow(/vhost\.frontend\.log/);
  });

  it('is refused when its file is shorter, which would end the process', () => {
    expect(() => log.open(fd, { bytes: 2 * FILE_BYTES, fileOffset: 0 })).toThrow(TransportError);
    log.wanted = true;
    memory.onWrite?.(0, 1);
    expect(marked()).toEqual([]);
  });
});
