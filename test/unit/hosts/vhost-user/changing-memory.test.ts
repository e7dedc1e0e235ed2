/** A front-end that adds and removes memory while its device works, and one whose memory is larger than a view can be. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { BlockDevice } from '../../../../src/devices/block/device.ts';
import { BackEnd } from '../../../../src/hosts/vhost-user/back-end.ts';
import { vringState } from '../../../../src/hosts/vhost-user/message-reader.ts';
import { ProtocolFeature } from '../../../../src/hosts/vhost-user/messages.ts';
import type { ServerEvent } from '../../../../src/hosts/vhost-user/server.ts';
import { Feature, featureSet } from '../../../../src/spec/features.ts';
import { closeFd, memfd } from '../../../../src/unix/file-descriptor.ts';
import { FakeClock } from '../../../support/fake-clock.ts';
import { RecordingDisk } from '../../../support/recording-disk.ts';
import { pattern } from '../../../support/rig.ts';
import { openFds } from '../../unix/open-fds.ts';
import { type Format, HandFrontEnd, region, singleRegion } from './hand-front-end.ts';

const MIB = 1 << 20;
const GIB = 2 ** 30;
const SUSPEND_LIMIT_MS = 5000;
/** In the low region: the ring, and headers with their status bytes. */
const RING = 0x1000;
const HEADERS = 0x8000;
const DATA = 0x10_000;

let folder: string;
let fdsBefore: number;
let clock: FakeClock;
let disk: RecordingDisk;
let backEnd: BackEnd;
let front: HandFrontEnd;
let file: number;
const events: ServerEvent[] = [];
beforeEach(() => {
  fdsBefore = openFds();
  folder = mkdtempSync(join(tmpdir(), 'virtio-vhost-'));
  clock = new FakeClock();
  disk = new RecordingDisk();
  events.length = 0;
  const path = join(folder, 'socket');
  const onEvent = (event: ServerEvent): void => void events.push(event);
  backEnd = new BackEnd({ path, type: new BlockDevice(disk, { queues: 1 }), device: {}, clock, onEvent });
  front = new HandFrontEnd(path, () => backEnd.turn(0));
  backEnd.turn(0);
  file = memfd(16 * GIB);
});
afterEach(() => {
  front.close();
  backEnd.close();
  closeFd(file);
  rmSync(folder, { recursive: true });
  expect(openFds()).toBe(fdsBefore);
});

const low = region(0, MIB);
async function start(format: Format, regions = [low]): Promise<void> {
  const features = featureSet(Feature.VERSION_1, ...(format === 'packed' ? [Feature.RING_PACKED] : []));
  await front.negotiate(features);
  const fds = regions.map(() => file);
  expect(await front.shareTable(regions, fds)).toBe(true);
  await front.makeRing(0, format, 16, RING);
}

/** Requests with all their parts in the low memory, but for the data. */
const write = (sector: number, address: number, length = 512) =>
  front.request(0, { type: 'write', sector, at: HEADERS + sector * 32, data: [[address, length]] });
const read = (sector: number, address: number, length = 512) =>
  front.request(0, { type: 'read', sector, at: HEADERS + sector * 32, data: [[address, length]] });

describe.each(['split', 'packed'] as const)('memory of a front-end with a %s ring', (format) => {
  // Behind the low region in the same file, as memory that is plugged in has a file of its own.
  const high = region(3 * GIB, MIB, 16 * MIB);

  it('is added, and a request served from it; removed, and a request refused that lies in it', async () => {
    await start(format);
    expect(await front.askU64('GET_MAX_MEM_SLOTS')).toBe(509n);
    expect(await front.addRegion(high, file)).toBe(true);
    expect(backEnd.status).toMatchObject({ memory: { regions: 2, bytes: 2 * MIB }, queues: [{ inUse: true }] });
    front.write(3 * GIB + 100, pattern(512, 5));
    const [written, seen] = [write(3, 3 * GIB + 100), read(3, 3 * GIB + 5000)];
    expect(front.collect()).toBe(2);
    expect([written.status, seen.status]).toEqual([0, 0]);
    expect(front.read(3 * GIB + 5000, 512)).toEqual(pattern(512, 5));
    expect(disk.log).toEqual(['write 3+1', 'flush', 'read 3+1']);

    expect(await front.removeRegion(high)).toBe(true);
    expect(backEnd.status.memory).toEqual({ regions: 1, bytes: MIB });
    // What is elsewhere goes on.
    const other = read(4, DATA);
    expect([front.collect(), other.status, backEnd.status.failure]).toEqual([1, 0, null]);
    const before = front.read(3 * GIB, 8192);
    read(5, 3 * GIB);
    expect(front.collect()).toBe(0);
    expect(backEnd.status.failure).toMatch(/512 bytes at 0xc0000000 are not in guest memory/);
    expect(front.read(3 * GIB, 8192)).toEqual(before);
    expect(events.at(-1)?.event).toBe('failed');
    // The front-end is still there, and may start again.
    expect(await front.order('RESET_DEVICE')).toBe(true);
    expect(backEnd.status).toMatchObject({ connected: true, failure: null, status: 0 });
  });

  it('is not added over another, twice or beyond what there is; nor removed if it is not there', async () => {
    await start(format);
    expect(await front.addRegion(high, file)).toBe(true);
    for (const wrong of [
      high,
      region(3 * GIB + 4096, MIB),
      region(GIB, 0),
      region(GIB + 1, MIB),
      region(GIB, 17 * GIB),
    ]) {
      expect(await front.addRegionOnly(wrong, file), JSON.stringify(wrong)).toBe(false);
    }
    for (const wrong of [region(2 * GIB, MIB), region(3 * GIB, 2 * MIB), { ...high, userAddress: 5 }]) {
      expect(await front.removeRegion(wrong), JSON.stringify(wrong)).toBe(false);
    }
    expect(backEnd.status.memory).toEqual({ regions: 2, bytes: 2 * MIB });
    const served = read(1, 3 * GIB);
    expect([front.collect(), served.status]).toEqual([1, 0]);
    expect(events.filter(({ event }) => event === 'rejected')).toHaveLength(8);
  });

  it('is not changed before what is in flight has ended', async () => {
    await start(format);
    expect(await front.addRegion(high, file)).toBe(true);
    disk.later = true;
    const requests = [read(1, 3 * GIB), read(2, 3 * GIB + 512)];
    disk.contents.fill(7, 512, 1536);
    front.send('REM_MEM_REG', singleRegion(high), [], 8);
    const waiting = read(3, DATA);
    expect(front.isSilent).toBe(true);
    expect(backEnd.status).toMatchObject({ inFlight: 2, memory: { regions: 2 } });
    disk.finish(disk.waiting.shift()!);
    expect(front.isSilent).toBe(true);
    disk.later = false;
    disk.finish(disk.waiting.shift()!);
    expect((await front.reply('REM_MEM_REG')).readBigUInt64LE(0)).toBe(0n);
    expect(backEnd.status.memory.regions).toBe(1);
    expect(front.collect()).toBe(3);
    expect([...requests, waiting].map(({ status }) => status)).toEqual([0, 0, 0]);
    expect(front.read(3 * GIB, 1024)).toEqual(new Uint8Array(1024).fill(7));
  });

  it('is taken from requests that do not end: the device fails, and they write nothing any more', async () => {
    await start(format);
    expect(await front.addRegion(high, file)).toBe(true);
    disk.later = true;
    read(1, 3 * GIB);
    disk.contents.fill(7);
    front.send('REM_MEM_REG', singleRegion(high), [], 8);
    await clock.advance(SUSPEND_LIMIT_MS - 1);
    expect(front.isSilent).toBe(true);
    await clock.advance(1);
    expect((await front.reply('REM_MEM_REG')).readBigUInt64LE(0)).toBe(0n);
    expect(backEnd.status).toMatchObject({ memory: { regions: 1 } });
    expect(backEnd.status.failure).toMatch(/^REM_MEM_REG: .* did not end within 5000 ms$/);
    disk.finish(disk.waiting.shift()!);
    expect(front.collect()).toBe(0);
    expect(front.read(3 * GIB, 512)).toEqual(new Uint8Array(512));
    // Started again, it serves.
    disk.later = false;
    expect(await front.order('RESET_DEVICE')).toBe(true);
    front.forgetRing(0);
    await front.makeRing(0, format, 16, RING + 0x4000);
    const again = read(2, DATA);
    expect([front.collect(), again.status]).toEqual([1, 0]);
    expect(front.read(DATA, 512)).toEqual(new Uint8Array(512).fill(7));
  });
});

describe('a ring that is stopped', () => {
  it('waits for what is in flight, and says then where it goes on', async () => {
    await start('split');
    disk.later = true;
    const request = read(1, DATA);
    front.send('GET_VRING_BASE', vringState(0, 0));
    const waiting = read(2, DATA);
    expect(front.isSilent).toBe(true);
    disk.finish(disk.waiting.shift()!);
    expect(Buffer.compare(await front.reply('GET_VRING_BASE'), vringState(0, 1))).toBe(0);
    expect([front.collect(), request.status, waiting.status]).toEqual([1, 0, undefined]);
    disk.later = false;
    await front.startRing(0, 1);
    expect([front.collect(), waiting.status]).toEqual([1, 0]);
  });

  it('while something does not end is answered in time, and the device fails', async () => {
    await start('split');
    disk.later = true;
    read(1, DATA);
    front.send('GET_VRING_BASE', vringState(0, 0));
    await clock.advance(5000);
    expect((await front.reply('GET_VRING_BASE')).readUInt32LE(4)).toBe(0);
    expect(backEnd.status.failure).toMatch(/^ring 0 could not be stopped: .* did not end within 5000 ms$/);
    expect(backEnd.status.queues).toMatchObject([{ inUse: false }]);
    disk.finish(disk.waiting.shift()!);
    expect(front.collect()).toBe(0);
  });
});

describe('memory slots', () => {
  it('are for front-ends that have negotiated them', async () => {
    await front.negotiate(featureSet(Feature.VERSION_1), [ProtocolFeature.CONFIGURE_MEM_SLOTS]);
    expect(await front.addRegionOnly(low, file)).toBe(false);
    expect(events.at(-1)).toMatchObject({ event: 'rejected', message: 'ADD_MEM_REG' });
    expect((events.at(-1) as { reason: string }).reason).toContain('[vhost.frontend.message.feature]');
  });

  it('are as many as are said', async () => {
    await front.negotiate(featureSet(Feature.VERSION_1));
    const most = Number(await front.askU64('GET_MAX_MEM_SLOTS'));
    for (let n = 0; n < most; n++) expect(await front.addRegionOnly(region(n * MIB, 4096), file)).toBe(true);
    expect(await front.addRegionOnly(region(most * MIB, 4096), file)).toBe(false);
    expect(backEnd.status.memory).toEqual({ regions: most, bytes: most * 4096 });
  });
});

describe.each(['split', 'packed'] as const)('memory of more than 4 GiB with a %s ring', (format) => {
  const huge = region(0, 13 * GIB);

  it.each([
    ['above 4 GiB', 4 * GIB + 12_345],
    ['just below 8 GiB', 8 * GIB - 4096],
    ['at its end', 13 * GIB - 4096],
    ['across 4 GiB', 4 * GIB - 100],
    ['across 8 GiB', 8 * GIB - 4095],
  ])('serves a buffer %s', async (_, address) => {
    await start(format, [huge]);
    front.write(address, pattern(4096, 3));
    const written = write(1, address, 4096);
    expect([front.collect(), written.status]).toEqual([1, 0]);
    front.write(address, new Uint8Array(4096));
    const seen = read(1, address, 4096);
    expect([front.collect(), seen.status]).toEqual([1, 0]);
    expect(front.read(address, 4096)).toEqual(pattern(4096, 3));
    expect(disk.contents.subarray(512, 512 + 4096)).toEqual(pattern(4096, 3));
  });

  it('has rings, headers and status bytes there as well', async () => {
    const features = featureSet(Feature.VERSION_1, ...(format === 'packed' ? [Feature.RING_PACKED] : []));
    await front.negotiate(features);
    expect(await front.shareTable([huge], [file])).toBe(true);
    await front.makeRing(0, format, 16, 9 * GIB);
    // The header lies on both sides of 12 GiB.
    const request = front.request(0, { type: 'read', sector: 1, at: 12 * GIB - 7, data: [[10 * GIB, 512]] });
    expect([front.collect(), request.status]).toEqual([1, 0]);
  });

  it('serves a buffer that goes further across than is seen in one piece', async () => {
    await start(format, [huge]);
    const address = 4 * GIB - 65 * MIB;
    const written = write(1, address, 66 * MIB);
    // The disk is smaller than that, which is the disk's to say.
    expect([front.collect(), written.status, backEnd.status.failure]).toEqual([1, 1, null]);
  });
});

it.each(['split', 'packed'] as const)('a buffer goes from one region into the next with a %s ring', async (format) => {
  // They touch for the guest, and are apart in the file.
  const next = region(MIB, MIB, 16 * MIB);
  await start(format, [low, next]);
  const address = MIB - 1000;
  front.write(address, pattern(1000, 3));
  front.write(MIB, pattern(4096 - 1000, 4));
  const written = write(1, address, 4096);
  expect([front.collect(), written.status]).toEqual([1, 0]);
  const bytes = new Uint8Array([...pattern(1000, 3), ...pattern(4096 - 1000, 4)]);
  expect(disk.contents.subarray(512, 512 + 4096)).toEqual(bytes);
  front.write(address, new Uint8Array(1000));
  front.write(MIB, new Uint8Array(4096 - 1000));
  const seen = read(1, address, 4096);
  expect([front.collect(), seen.status]).toEqual([1, 0]);
  expect([front.read(address, 1000), front.read(MIB, 4096 - 1000)]).toEqual([
    bytes.subarray(0, 1000),
    bytes.subarray(1000),
  ]);
  // One that goes on where nothing is.
  write(1, 2 * MIB - 1000, 4096);
  expect(front.collect()).toBe(0);
  expect(backEnd.status.failure).toMatch(/4096 bytes at 0x1ffc18 are not in guest memory/);
});
