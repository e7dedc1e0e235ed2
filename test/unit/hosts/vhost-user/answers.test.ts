/** What becomes of messages with too few, too many or the wrong descriptors, of a reset, and of front-ends that stop half-way. */
import { mkdtempSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { BlockDevice } from '../../../../src/devices/block/device.ts';
import { BackEnd } from '../../../../src/hosts/vhost-user/back-end.ts';
import { LoopClock } from '../../../../src/hosts/vhost-user/loop-clock.ts';
import { frame, u64, vringState } from '../../../../src/hosts/vhost-user/message-reader.ts';
import { type RequestName, requestOf } from '../../../../src/hosts/vhost-user/messages.ts';
import type { ServerEvent } from '../../../../src/hosts/vhost-user/server.ts';
import { Feature, featureSet } from '../../../../src/spec/features.ts';
import { EventFd } from '../../../../src/unix/event-fd.ts';
import { closeFd, memfd } from '../../../../src/unix/file-descriptor.ts';
import { UnixSocket } from '../../../../src/unix/socket.ts';
import { RecordingDisk } from '../../../support/recording-disk.ts';
import { openFds } from '../../unix/open-fds.ts';
import { type Format, HandFrontEnd, region, singleRegion } from './hand-front-end.ts';

const MEMORY_BYTES = 1 << 20;
const RING = 0x1000;
const DATA = 0x1_0000;

let folder: string;
let path: string;
let fdsBefore: number;
let disk: RecordingDisk;
let backEnd: BackEnd;
let front: HandFrontEnd;
let memory: number;
const clock = new LoopClock();
const events: ServerEvent[] = [];
const turn = (): void => {
  backEnd.turn(0);
  clock.run();
};
beforeEach(async () => {
  fdsBefore = openFds();
  folder = mkdtempSync(join(tmpdir(), 'virtio-vhost-'));
  path = join(folder, 'socket');
  disk = new RecordingDisk();
  events.length = 0;
  const onEvent = (event: ServerEvent): void => void events.push(event);
  backEnd = new BackEnd({ path, type: new BlockDevice(disk, { queues: 1 }), device: {}, clock, onEvent });
  memory = memfd(MEMORY_BYTES);
  front = new HandFrontEnd(path, turn);
  turn();
});
afterEach(() => {
  front.close();
  backEnd.close();
  closeFd(memory);
  rmSync(folder, { recursive: true });
  expect(openFds()).toBe(fdsBefore);
});

async function share(format: Format = 'split'): Promise<void> {
  await front.negotiate(featureSet(Feature.VERSION_1, ...(format === 'packed' ? [Feature.RING_PACKED] : [])));
  expect(await front.shareTable([region(0, MEMORY_BYTES)], [memory])).toBe(true);
}

async function start(format: Format = 'split'): Promise<void> {
  await share(format);
  await front.makeRing(0, format, 16, RING);
}

const read = (sector = 1) =>
  front.request(0, { type: 'read', sector, at: 0x8000 + sector * 32, data: [[DATA + sector * 512, 512]] });

/** Messages that come with one descriptor. */
const withFd: readonly (readonly [RequestName, Uint8Array])[] = [
  ['SET_MEM_TABLE', Buffer.concat([Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0), singleRegion(region(0, 4096)).subarray(8)])],
  ['ADD_MEM_REG', singleRegion(region(0, 4096))],
  ['SET_VRING_KICK', u64(0n)],
  ['SET_VRING_CALL', u64(0n)],
  ['SET_VRING_ERR', u64(0n)],
  ['SET_LOG_BASE', Buffer.concat([u64(4096n), u64(0n)])],
  ['SET_INFLIGHT_FD', Buffer.concat([u64(4096n), u64(0n), Uint8Array.of(1, 0, 8, 0)])],
  ['SET_BACKEND_REQ_FD', new Uint8Array(0)],
  ['SET_DEVICE_STATE_FD', vringState(0, 0)],
];

describe('a message', () => {
  it.each(withFd)(
    '%s without its descriptor is answered with an error, and the session goes on',
    async (name, payload) => {
      await front.negotiate(featureSet(Feature.VERSION_1));
      expect(await front.order(name, payload)).toBe(false);
      expect(events.at(-1)).toMatchObject({ event: 'rejected', message: name });
      expect((events.at(-1) as { reason: string }).reason).toContain('[vhost.frontend.message.fds]');
      expect(front.ended).toBe(false);
    },
  );

  it.each([...withFd, ['GET_FEATURES', new Uint8Array(0)], ['SET_VRING_NUM', vringState(0, 8)]] as typeof withFd)(
    '%s with a descriptor too many ends the session',
    async (name, payload) => {
      await front.negotiate(featureSet(Feature.VERSION_1));
      const most = name === 'SET_MEM_TABLE' ? 8 : name === 'GET_FEATURES' || name === 'SET_VRING_NUM' ? 0 : 1;
      front.send(name, payload, new Array(most + 1).fill(memory), 8);
      expect(front.ended).toBe(true);
      expect((events.at(-1) as { reason: string }).reason).toBe(
        `${name} with ${most + 1} descriptors [vhost.frontend.message.fds]`,
      );
    },
  );

  it.each([
    ['SET_MEM_TABLE', /^4096 bytes at 0 of a file of 0 bytes cannot be mapped$/],
    ['ADD_MEM_REG', /^4096 bytes at 0 of a file of 0 bytes cannot be mapped$/],
    ['SET_VRING_KICK', /^descriptor \d+ is no eventfd but "socket:/],
    ['SET_VRING_CALL', /^descriptor \d+ is no eventfd but "socket:/],
    ['SET_VRING_ERR', /^descriptor \d+ is no eventfd but "socket:/],
    ['SET_LOG_BASE', /^4096 bytes at 0 of a file of 0 bytes cannot be mapped$/],
    ['SET_INFLIGHT_FD', /^4096 bytes at 0 of a file of 0 bytes cannot be mapped$/],
  ] as const)('%s with a socket ends the session, and the next front-end is served', async (name, reason) => {
    await front.negotiate(featureSet(Feature.VERSION_1));
    const [near, far] = UnixSocket.pair();
    front.send(name, withFd.find(([each]) => each === name)![1], [near.fd], 8);
    near.close();
    far.close();
    expect(front.ended).toBe(true);
    expect(events.at(-1)).toEqual({ event: 'disconnected', reason: expect.stringMatching(reason) });
    front.reconnect(path);
    turn();
    await start();
    const request = read();
    expect([front.collect(), request.status]).toEqual([1, 0]);
  });

  it('SET_DEVICE_STATE_FD with a descriptor that takes no state is found at the check', async () => {
    await front.negotiate(featureSet(Feature.VERSION_1));
    const event = EventFd.create();
    expect(await front.askU64('SET_DEVICE_STATE_FD', vringState(0, 0), [event.fd])).toBe(0x100n);
    event.close();
    expect(await front.askU64('CHECK_DEVICE_STATE')).toBe(1n);
    expect(events.at(-1)).toMatchObject({ event: 'rejected', message: 'CHECK_DEVICE_STATE' });
    expect(front.ended).toBe(false);
  });

  it('SET_BACKEND_REQ_FD with what is no socket ends the session when there is something to say', async () => {
    await front.negotiate(featureSet(Feature.VERSION_1));
    expect(await front.order('SET_BACKEND_REQ_FD', new Uint8Array(0), [memory])).toBe(true);
    await start();
    disk.capacitySectors = 65;
    disk.onResize!();
    turn();
    expect(front.ended).toBe(true);
    expect(events.at(-1)).toEqual({ event: 'disconnected', reason: 'sendmsg: a socket: ENOTSOCK' });
  });
});

it('a message that starts a ring which cannot be started is answered once, with an error', async () => {
  await front.negotiate(0n);
  expect(await front.shareTable([region(0, MEMORY_BYTES)], [memory])).toBe(true);
  // The device takes no driver without VERSION_1.
  await expect(front.makeRing(0, 'split', 16, RING)).rejects.toThrow('ring 0 does not start');
  expect(front.isSilent).toBe(true);
  expect((events.at(-1) as { reason: string }).reason).toContain('[vhost.frontend.features]');
});

describe.each(['split', 'packed'] as const)('RESET_DEVICE with a %s ring', (format) => {
  it('takes the rings and the status away, whatever is in flight, and the device starts again', async () => {
    await start(format);
    const done = read(1);
    expect([front.collect(), done.status, backEnd.status.status]).toEqual([1, 0, 0x0f]);
    disk.later = true;
    read(2);
    expect(backEnd.status.inFlight).toBe(1);
    expect(await front.order('RESET_DEVICE')).toBe(true);
    expect(backEnd.status).toMatchObject({ status: 0, failure: null, queues: [{ inUse: false }] });
    // Memory and features stay, as does the session.
    expect(backEnd.status.memory).toEqual({ regions: 1, bytes: MEMORY_BYTES });
    disk.contents.fill(7);
    disk.finish(disk.waiting.shift()!);
    // The old ring is nobody's.
    const before = disk.log.length;
    read(3);
    expect([front.collect(), disk.log.length]).toEqual([0, before]);
    expect(front.read(DATA, 4 * 512)).toEqual(new Uint8Array(4 * 512));
    disk.later = false;
    front.forgetRing(0);
    await front.makeRing(0, format, 16, RING + 0x4000);
    const again = read(1);
    expect([front.collect(), again.status, backEnd.status.status]).toEqual([1, 0, 0x0f]);
    expect(front.read(DATA + 512, 512)).toEqual(new Uint8Array(512).fill(7));
  });
});

describe('a front-end that stops half-way', () => {
  it('in a payload holds up neither its own requests nor the server', async () => {
    await start();
    const message = frame(requestOf('SET_VRING_CALL'), 8, u64(0n)).slice();
    const event = EventFd.create();
    front.sendBytes(message.subarray(0, 15), [event.fd]);
    event.close();
    for (let n = 0; n < 3; n++) {
      const request = read(n);
      expect([front.collect(), request.status]).toEqual([1, 0]);
    }
    expect(front.isSilent).toBe(true);
    front.sendBytes(message.subarray(15));
    expect((await front.reply('SET_VRING_CALL')).readBigUInt64LE(0)).toBe(0n);
    // Once more, and it goes away in the middle; the descriptor that had come is closed.
    front.sendBytes(message.subarray(0, 15), [memory]);
    front.disconnect();
    expect(events.at(-1)).toEqual({ event: 'disconnected', reason: 'the front-end has closed the connection' });
  });

  it.each([
    ['between messages', 12],
    ['within a message', 5],
  ])('and closes one direction %s is gone', async (_, bytes) => {
    front.disconnect();
    const socket = connect({ path, allowHalfOpen: true });
    const closed = new Promise((resolve) => socket.once('end', resolve));
    socket.resume();
    socket.end(frame(requestOf('SET_OWNER'), 0, new Uint8Array(0)).slice(0, bytes));
    await expect
      .poll(() => {
        turn();
        return events.map(({ event }) => event);
      })
      .toEqual(['connected', 'disconnected', 'connected', 'disconnected']);
    await closed;
    expect(backEnd.status.connected).toBe(false);
  });

  it('reading what it is told loses its connection, and the device its driver', async () => {
    await front.negotiate(featureSet(Feature.VERSION_1));
    const [near, far] = UnixSocket.pair();
    expect(await front.order('SET_BACKEND_REQ_FD', new Uint8Array(0), [far.fd])).toBe(true);
    far.close();
    await start();
    const before = performance.now();
    for (let n = 0; n < 100_000 && backEnd.status.connected; n++) {
      disk.capacitySectors = 64 + (n & 1);
      disk.onResize!();
      turn();
    }
    expect(performance.now() - before).toBeLessThan(10_000);
    expect(events.at(-1)).toEqual({ event: 'disconnected', reason: 'the front-end does not read what it is sent' });
    near.close();
  });

  it('taking a state is left alone with it: everything else goes on, and nothing is left when it goes', async () => {
    await share();
    const [near, far] = UnixSocket.pair();
    while (near.send(new Uint8Array(4096)) > 0) {
      // Until there is no room.
    }
    expect(await front.askU64('SET_DEVICE_STATE_FD', vringState(0, 0), [near.fd])).toBe(0x100n);
    near.close();
    await front.makeRing(0, 'split', 16, RING);
    const request = read();
    expect([front.collect(), request.status]).toEqual([1, 0]);
    front.send('CHECK_DEVICE_STATE');
    expect(front.isSilent).toBe(true);
    front.disconnect();
    expect(backEnd.status.connected).toBe(false);
    far.close();
  });

  it('giving a state keeps the device from nothing', async () => {
    await share();
    const [near, far] = UnixSocket.pair();
    near.send(new TextEncoder().encode('{"format"'));
    expect(await front.askU64('SET_DEVICE_STATE_FD', vringState(1, 0), [far.fd])).toBe(0x100n);
    far.close();
    await new Promise((resolve) => setTimeout(resolve, 20));
    front.send('CHECK_DEVICE_STATE');
    expect(front.isSilent).toBe(true);
    // It ends, and is none.
    near.close();
    expect((await front.reply('CHECK_DEVICE_STATE')).readBigUInt64LE(0)).toBe(1n);
    await front.makeRing(0, 'split', 16, RING);
    const request = read();
    expect([front.collect(), request.status]).toEqual([1, 0]);
  });
});
