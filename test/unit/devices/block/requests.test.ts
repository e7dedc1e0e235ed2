import { describe, expect, it } from 'vitest';
import { BlockRequestType, BlockStatus, RANGE_UNMAP } from '../../../../src/devices/block/layout.ts';
import { RawBlock, ranges } from '../../../support/raw-block.ts';
import { RecordingDisk } from '../../../support/recording-disk.ts';
import { pattern } from '../../../support/rig.ts';

const { IN, OUT, FLUSH, GET_ID, DISCARD, WRITE_ZEROES } = BlockRequestType;
const { OK, IOERR, UNSUPP } = BlockStatus;
const CAPACITY = 64;

function make(change: Partial<RecordingDisk> = {}): { disk: RecordingDisk; block: RawBlock } {
  const disk = Object.assign(new RecordingDisk(), change);
  disk.contents.set(pattern(disk.contents.length));
  return { disk, block: new RawBlock(disk) };
}

const zeroes = (length: number): Uint8Array => new Uint8Array(length);

describe('a read', () => {
  it('gives the sectors, then the status, and counts both', () => {
    const { disk, block } = make();
    const answer = block.send({ type: IN, sector: 3, room: 1024 });
    expect(answer).toEqual({ status: OK, written: 1025, data: disk.contents.subarray(3 * 512, 5 * 512) });
    expect(disk.log).toEqual(['read 3+2']);
  });

  it('of nothing is answered without the disk', () => {
    const { disk, block } = make();
    expect(block.send({ type: IN, sector: 3 })).toMatchObject({ status: OK, written: 1 });
    expect(disk.log).toEqual([]);
  });

  it('up to the last sector is possible, beyond it is not', () => {
    const { disk, block } = make();
    expect(block.send({ type: IN, sector: CAPACITY - 1, room: 512 }).status).toBe(OK);
    expect(block.send({ type: IN, sector: CAPACITY, room: 0 }).status).toBe(OK);
    disk.log.length = 0;
    for (const sector of [CAPACITY, CAPACITY - 1, 2 ** 32, 2n ** 53n, 2n ** 63n, 2n ** 64n - 1n]) {
      const answer = block.send({ type: IN, sector, room: 1024 });
      expect(answer).toEqual({ status: IOERR, written: 1025, data: zeroes(1024) });
    }
    expect(block.send({ type: IN, sector: CAPACITY + 1, room: 0 }).status).toBe(IOERR);
    expect(disk.log).toEqual([]);
  });

  it('of a part of a sector is an error', () => {
    const { disk, block } = make();
    for (const room of [1, 511, 513]) {
      expect(block.send({ type: IN, room })).toEqual({ status: IOERR, written: room + 1, data: zeroes(room) });
    }
    expect(disk.log).toEqual([]);
  });

  it('that the disk fails leaves zeroes, not what was in the buffer', () => {
    const { block } = make({ failing: 'read' });
    expect(block.send({ type: IN, room: 8192 })).toEqual({ status: IOERR, written: 8193, data: zeroes(8192) });
  });
});

describe('a write', () => {
  it('puts the sectors on the disk', () => {
    const { disk, block } = make();
    const out = pattern(1536, 9);
    expect(block.send({ type: OUT, sector: 5, out })).toMatchObject({ status: OK, written: 1 });
    expect(disk.contents.subarray(5 * 512, 8 * 512)).toEqual(out);
    expect(disk.log).toEqual(['write 5+3']);
  });

  it('beyond the end, or of a part of a sector, is an error and changes nothing', () => {
    const { disk, block } = make();
    for (const [sector, length] of [
      [CAPACITY, 512],
      [CAPACITY - 1, 1024],
      [0, 513],
      [0, 100],
      [2n ** 64n - 1n, 512],
    ] as const) {
      expect(block.send({ type: OUT, sector, out: pattern(length) })).toMatchObject({ status: IOERR, written: 1 });
    }
    expect(disk.log).toEqual([]);
  });

  it('to a read-only disk is an error and changes nothing (§5.2.6.2)', () => {
    const { disk, block } = make({ readOnly: true });
    expect(block.send({ type: OUT, out: pattern(512) }).status).toBe(IOERR);
    expect(block.send({ type: IN, room: 512 }).status).toBe(OK);
    expect(disk.log).toEqual(['read 0+1']);
  });
});

describe('a discard or write zeroes', () => {
  it('carries out its segments one after the other', () => {
    for (const [type, name] of [
      [DISCARD, 'discard'],
      [WRITE_ZEROES, 'writeZeroes'],
    ] as const) {
      const { disk, block } = make();
      const out = ranges({ sector: 9, sectors: 1 }, { sector: 2, sectors: 3 }, { sector: CAPACITY - 1, sectors: 1 });
      expect(block.send({ type, out })).toMatchObject({ status: OK, written: 1 });
      expect(disk.log).toEqual([`${name} 9+1`, `${name} 2+3`, `${name} 63+1`]);
      expect(disk.contents.subarray(2 * 512, 5 * 512)).toEqual(zeroes(3 * 512));
    }
  });

  it('passes over segments of nothing', () => {
    const { disk, block } = make();
    const out = ranges({ sector: 1, sectors: 0 }, { sector: 2, sectors: 1 }, { sector: CAPACITY, sectors: 0 });
    expect(block.send({ type: DISCARD, out }).status).toBe(OK);
    expect(disk.log).toEqual(['discard 2+1']);
  });

  it('may unmap when it writes zeroes, and only then (§5.2.6.2)', () => {
    const { disk, block } = make();
    const out = ranges({ sector: 1, sectors: 1, flags: RANGE_UNMAP }, { sector: 2, sectors: 1 });
    expect(block.send({ type: WRITE_ZEROES, out }).status).toBe(OK);
    expect(disk.log).toEqual(['writeZeroes 1+1 unmap', 'writeZeroes 2+1']);
    expect(block.send({ type: DISCARD, out }).status).toBe(UNSUPP);
  });

  it('with unknown flags in any segment is not supported, and no segment is carried out', () => {
    const { disk, block } = make();
    for (const type of [DISCARD, WRITE_ZEROES]) {
      for (const flags of [2, 0x8000_0000, 0xffff_ffff]) {
        const out = ranges({ sector: 1, sectors: 1 }, { sector: 2, sectors: 1, flags });
        expect(block.send({ type, out })).toMatchObject({ status: UNSUPP, written: 1 });
      }
    }
    expect(disk.log).toEqual([]);
  });

  it('beyond the end or the limits is an error, and no segment is carried out', () => {
    const { disk, block } = make({ capacitySectors: 2 ** 40 });
    const bad = [
      ranges({ sector: 0, sectors: 1 }, { sector: 2 ** 40, sectors: 1 }),
      ranges({ sector: 2 ** 40 - 1, sectors: 2 }),
      ranges({ sector: 2n ** 64n - 1n, sectors: 1 }),
      ranges({ sector: 0, sectors: 4 * 1024 * 1024 + 1 }),
      ranges({ sector: 0, sectors: 0xffff_ffff }),
      ranges(...Array.from({ length: 17 }, (_, sector) => ({ sector, sectors: 1 }))),
      new Uint8Array(0),
      new Uint8Array(15),
      new Uint8Array(24),
    ];
    for (const type of [DISCARD, WRITE_ZEROES]) {
      for (const out of bad) expect(block.send({ type, out })).toMatchObject({ status: IOERR, written: 1 });
    }
    expect(disk.log).toEqual([]);
    const most = ranges(...Array.from({ length: 16 }, () => ({ sector: 0, sectors: 1 })));
    expect(block.send({ type: DISCARD, out: most }).status).toBe(OK);
    expect(disk.log).toHaveLength(16);
  });

  it('stops at the segment that fails', () => {
    const { disk, block } = make({ failing: 'discard' });
    const out = ranges({ sector: 1, sectors: 1 }, { sector: 2, sectors: 1 });
    expect(block.send({ type: DISCARD, out }).status).toBe(IOERR);
    expect(disk.log).toEqual(['discard 1+1']);
  });

  it('of a read-only disk, or one that cannot, is refused', () => {
    const out = ranges({ sector: 1, sectors: 1 });
    for (const type of [DISCARD, WRITE_ZEROES]) {
      const readOnly = make({ readOnly: true });
      expect(readOnly.block.send({ type, out }).status).toBe(IOERR);
      const plain = make({ supports: { flush: true, discard: false, writeZeroes: false } });
      expect(plain.block.send({ type, out }).status).toBe(UNSUPP);
      expect([...readOnly.disk.log, ...plain.disk.log]).toEqual([]);
    }
  });
});

describe('the identity', () => {
  it('is 20 bytes, filled up with zeroes', () => {
    const { block } = make({ identity: 'disk 7' });
    const expected = zeroes(20);
    expected.set(new TextEncoder().encode('disk 7'));
    expect(block.send({ type: GET_ID, room: 20 })).toEqual({ status: OK, written: 21, data: expected });
    const full = make({ identity: 'abcdefghijklmnopqrst' }).block.send({ type: GET_ID, room: 20 });
    expect(new TextDecoder().decode(full.data)).toBe('abcdefghijklmnopqrst');
  });

  it('is not cut to less room', () => {
    const { block } = make();
    expect(block.send({ type: GET_ID, room: 19 })).toEqual({ status: IOERR, written: 20, data: zeroes(19) });
  });
});

describe('other requests', () => {
  it('of types that do not exist are not supported', () => {
    const { disk, block } = make();
    for (const type of [2, 3, 5, 6, 7, 9, 10, 12, 14, 15, 16, 24, 26, 0x8000_0000, 0xffff_ffff]) {
      expect(block.send({ type, room: 512 })).toEqual({ status: UNSUPP, written: 513, data: zeroes(512) });
    }
    expect(disk.log).toEqual([]);
  });

  it('say of every byte that they count that they wrote it (§2.7.8.2)', () => {
    const { block } = make();
    for (const type of [OUT, FLUSH, DISCARD, WRITE_ZEROES]) {
      const out = type === DISCARD || type === WRITE_ZEROES ? ranges({ sector: 1, sectors: 1 }) : new Uint8Array(0);
      const answer = block.send({ type, out, room: 40 });
      expect(answer.status).toBe(OK);
      expect(answer.data.subarray(0, Math.max(0, answer.written - 1))).toEqual(zeroes(Math.max(0, answer.written - 1)));
      expect(answer.written).toBe(41);
    }
    const answer = block.send({ type: GET_ID, room: 40 });
    expect(answer.data.subarray(20)).toEqual(zeroes(20));
  });

  it('without a header or without a status byte are the fault of the driver', () => {
    for (const [readable, writable] of [
      [15, 1],
      [0, 1],
      [16, 0],
    ] as const) {
      const { block } = make();
      const [queue] = block.queues;
      if (readable > 0)
        queue!.descriptor(0, { address: 0x8000, length: readable, flags: writable > 0 ? 1 : 0, next: 1 });
      if (writable > 0) queue!.descriptor(readable > 0 ? 1 : 0, { address: 0x9000, length: writable, flags: 2 });
      queue!.offer(0);
      block.device.kick(0);
      expect(block.device.status).toBe(0x4f);
      expect(block.device.failure?.message).toContain('[blk.driver.op.request]');
      block.device.writeStatus(0);
      block.start();
      expect(block.send({ type: IN, room: 512 }).status).toBe(OK);
    }
  });
});
