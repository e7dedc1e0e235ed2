/** Requests to a disk that overlap, are huge or lie anywhere, over the sockets: each is answered, and nothing beside it is written. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { BlockDevice } from '../../../src/devices/block/device.ts';
import { BlockRequestType, BlockStatus } from '../../../src/devices/block/layout.ts';
import { Feature, featureSet } from '../../../src/spec/features.ts';
import { NEXT, RawQueue, WRITE } from '../../support/raw-queue.ts';
import { RecordingDisk } from '../../support/recording-disk.ts';
import { pattern } from '../../support/rig.ts';
import { openFds } from '../unix/open-fds.ts';
import { DrivenOverSocket, protocols } from './over-sockets.ts';

const { IN, OUT } = BlockRequestType;
const { OK, IOERR } = BlockStatus;
const MIB = 1 << 20;
const MEMORY_BYTES = 4 * MIB;
const SIZE = 64;
const POISON = 0xa5;
/** Behind the ring. */
const FREE = 0x1_0000;
const CAPACITY = 64;

describe.each(protocols)('over %s', (protocol) => {
  let fds: number;
  let disk: RecordingDisk;
  let driven: DrivenOverSocket;
  let queue: RawQueue;
  let bytes: Uint8Array;
  let next: number;
  beforeEach(async () => {
    fds = openFds();
    disk = new RecordingDisk();
    driven = await DrivenOverSocket.open(protocol, new BlockDevice(disk), MEMORY_BYTES);
    bytes = driven.memory.regions[0]!.bytes;
    queue = new RawQueue(driven.memory, SIZE, 0);
    next = 0;
    await driven.start(queue, featureSet(Feature.VERSION_1));
  });
  afterEach(async () => {
    await driven.close();
    expect(openFds()).toBe(fds);
  });

  const headerAt = (at: number, type: number, sector: number | bigint): void => {
    const { view } = driven.memory.regions[0]!;
    view.setUint32(at, type, true);
    view.setUint32(at + 4, 0, true);
    view.setBigUint64(at + 8, BigInt(sector), true);
  };

  /** Offers one request of these buffers: header, data, status byte. */
  const offer = (type: number, header: number, data: readonly (readonly [number, number])[], status: number): void => {
    const pieces = [
      { address: header, length: 16, flags: 0 },
      ...data.map(([address, length]) => ({ address, length, flags: type === IN ? WRITE : 0 })),
      { address: status, length: 1, flags: WRITE },
    ];
    const head = next;
    for (const [n, piece] of pieces.entries()) {
      const last = n === pieces.length - 1;
      queue.descriptor(next++, { ...piece, flags: piece.flags | (last ? 0 : NEXT), next: last ? 0 : next });
    }
    queue.offer(head);
  };

  it('two writes of the same sectors are both done, in whichever order the disk ends them', async () => {
    disk.later = true;
    for (const n of [0, 1]) {
      const at = FREE + n * 0x1000;
      headerAt(at, OUT, 3 + n);
      bytes.set(pattern(1024, n), at + 16);
      offer(OUT, at, [[at + 16, 1024]], at + 0x800);
      bytes[at + 0x800] = POISON;
    }
    driven.transport.kick(0);
    await expect.poll(() => disk.waiting.length).toBe(2);
    expect(disk.log).toEqual(['write 3+2', 'write 4+2']);
    disk.later = false;
    for (const request of disk.waiting.splice(0).reverse()) disk.finish(request);
    await driven.used(queue, 2);
    expect([bytes[FREE + 0x800], bytes[FREE + 0x1800]]).toEqual([OK, OK]);
    // The one that ended last.
    expect(disk.contents.subarray(3 * 512, 5 * 512)).toEqual(pattern(1024, 0));
    expect(disk.contents.subarray(5 * 512, 6 * 512)).toEqual(pattern(1024, 1).subarray(512));
  });

  it('a write and a read of the same sectors at once are both answered', async () => {
    disk.later = true;
    for (const [n, type] of [OUT, IN].entries()) {
      const at = FREE + n * 0x1000;
      headerAt(at, type, 1);
      bytes.set(pattern(512, n), at + 16);
      offer(type, at, [[at + 16, 512]], at + 0x800);
      bytes[at + 0x800] = POISON;
    }
    driven.transport.kick(0);
    await expect.poll(() => disk.waiting.length).toBe(2);
    disk.later = false;
    for (const request of disk.waiting.splice(0).reverse()) disk.finish(request);
    await driven.used(queue, 2);
    expect([bytes[FREE + 0x800], bytes[FREE + 0x1800]]).toEqual([OK, OK]);
    expect(bytes.subarray(FREE + 0x1010, FREE + 0x1210)).toEqual(new Uint8Array(512));
  });

  it('buffers that lie on each other, on a header and on a status byte are written as they come, and nothing else is', async () => {
    disk.contents.set(pattern(CAPACITY * 512, 9));
    disk.later = true;
    const [one, two] = [FREE, FREE + 0x1000];
    headerAt(one, IN, 1);
    headerAt(two, IN, 3);
    const expected = bytes.slice();
    // The second reads over the first one's header and half of its data; its status lies in its own data.
    offer(IN, one, [[one + 16, 1024]], one + 16 + 1024);
    offer(IN, two, [[one, 512]], one + 100);
    driven.transport.kick(0);
    await expect.poll(() => disk.waiting.length).toBe(2);
    disk.later = false;
    for (const request of disk.waiting.splice(0)) disk.finish(request);
    await driven.used(queue, 2);
    expected.set(disk.contents.subarray(512, 512 + 1024), one + 16);
    expected[one + 16 + 1024] = OK;
    expected.set(disk.contents.subarray(3 * 512, 4 * 512), one);
    expected[one + 100] = OK;
    const now = bytes.slice();
    expected.set(now.subarray(0, queue.end), 0);
    expect(Buffer.compare(now, expected)).toBe(0);
  });

  it.each([
    ['one buffer', [[FREE + 0x1001, CAPACITY * 512]], OK],
    ['one buffer of a sector more than the disk has', [[FREE + 0x1001, (CAPACITY + 1) * 512]], IOERR],
    ['one buffer of 3 MiB', [[FREE + 0x1001, 3 * MIB]], IOERR],
    ['a buffer sixty times, 3 MiB each', Array.from({ length: 60 }, () => [FREE + 0x1001, 3 * MIB] as const), IOERR],
  ] as readonly [string, readonly (readonly [number, number])[], number][])(
    'a request of %s is answered',
    async (_, data, status) => {
      disk.contents.set(pattern(CAPACITY * 512, 9));
      bytes.fill(POISON, FREE);
      headerAt(FREE, IN, 0);
      offer(IN, FREE, data, FREE + 0x800);
      await driven.used(queue, 1);
      expect(bytes[FREE + 0x800]).toBe(status);
      const read = bytes.subarray(FREE + 0x1001, FREE + 0x1001 + CAPACITY * 512);
      if (status === OK) expect(Buffer.compare(read, disk.contents)).toBe(0);
      const beyond = bytes.subarray(FREE + 0x1001 + 3 * MIB);
      expect(Buffer.compare(beyond, new Uint8Array(beyond.length).fill(POISON))).toBe(0);
      expect(await driven.transport.readStatus()).toBe(0x0f);
    },
  );

  it('a request of 4 GiB is in no memory, and the device fails', async () => {
    headerAt(FREE, OUT, 0);
    offer(OUT, FREE, [[FREE + 16, 0xffff_fe00]], FREE + 0x800);
    expect(await driven.failed()).toContain('[split.driver.desc.memory]');
    expect(disk.log).toEqual([]);
  });

  it('headers, data and status bytes at odd addresses, cut anywhere, are served', async () => {
    for (let n = 0; n < 5; n++) {
      const at = FREE + n * 0x1000 + 2 * n + 1;
      const cuts = [0, 1 + n, 100 + n, 511, 512];
      const data = cuts.slice(1).map((end, i) => [at + 16 + cuts[i]!, end - cuts[i]!] as const);
      bytes.set(pattern(512, n), at + 16);
      headerAt(at, OUT, n);
      offer(OUT, at, data, at + 0x801);
    }
    await driven.used(queue, 5);
    for (let n = 0; n < 5; n++) {
      expect(bytes[FREE + n * 0x1000 + 2 * n + 0x802]).toBe(OK);
      expect(disk.contents.subarray(n * 512, (n + 1) * 512)).toEqual(pattern(512, n));
    }
  });

  it('lengths that are no sectors, and sectors beyond all disks, are answered with an error', async () => {
    const wrong: readonly (readonly [number | bigint, number])[] = [
      [0, 511],
      [0, 513],
      [CAPACITY, 512],
      [2n ** 53n, 512],
      [2n ** 55n, 512],
      [2n ** 64n - 1n, 512],
    ];
    for (const [n, [sector, length]] of wrong.entries()) {
      const at = FREE + n * 0x1000;
      headerAt(at, OUT, sector);
      offer(OUT, at, [[at + 16, length]], at + 0x800);
      await driven.used(queue, n + 1);
      expect(bytes[at + 0x800], `${sector} ${length}`).toBe(IOERR);
    }
    expect(disk.log).toEqual([]);
    expect(await driven.transport.readStatus()).toBe(0x0f);
  });
});
