import { describe, expect, it } from 'vitest';
import { Device } from '../../../../src/device/device.ts';
import { BlockDevice } from '../../../../src/devices/block/device.ts';
import { BlockDriver } from '../../../../src/devices/block/driver.ts';
import { MessageTransport } from '../../../../src/hosts/loopback/message-transport.ts';
import type { MessageEnd } from '../../../../src/hosts/loopback/messages.ts';
import { serveDevice } from '../../../../src/hosts/loopback/serve.ts';
import { GuestAllocator } from '../../../../src/memory/allocator.ts';
import { GuestMemory } from '../../../../src/memory/guest-memory.ts';
import { TransportError } from '../../../../src/spec/fault.ts';
import { FaultyDisk } from '../../../../src/storage/faulty-disk.ts';
import { MemoryDisk } from '../../../../src/storage/memory-disk.ts';
import { Inbox, messagePair } from '../../../support/message-pair.ts';

const NONSENSE = [
  null,
  undefined,
  'text',
  {},
  { kind: 'ready' },
  { kind: 'interrupt', cause: 'power' },
  { kind: 'answer', value: 1 },
  { kind: 'error', message: 'of nobody' },
  { kind: 'farewell', id: 0 },
];

/** A transport whose other end is the test's. */
async function opened(): Promise<{ transport: MessageTransport; far: MessageEnd; inbox: Inbox }> {
  const [near, far] = messagePair();
  const inbox = new Inbox(far);
  const opening = MessageTransport.open(near);
  far.postMessage({ kind: 'ready', deviceId: 2 });
  return { transport: await opening, far, inbox };
}

describe('the driver side of a message channel', () => {
  it.each(NONSENSE)('is not opened by a device side that begins with %j', async (message) => {
    const [near, far] = messagePair();
    const opening = MessageTransport.open(near);
    far.postMessage(message);
    await expect(opening).rejects.toThrow(/^the device's side began with .* instead of "ready"$/);
    await expect(opening).rejects.toBeInstanceOf(TransportError);
  });

  it.each([...NONSENSE, { kind: 'ready', deviceId: 2 }, { kind: 'answer', id: 9, value: 0 }])(
    'gives a device side up that says %j',
    async (message) => {
      const { transport, far } = await opened();
      const lost: Error[] = [];
      transport.onLost = (error) => lost.push(error);
      const waiting = transport.readStatus();
      far.postMessage(message);
      far.postMessage({ kind: 'answer', id: 0, value: 15 });
      await expect(waiting).rejects.toThrow(/^the device's side sent .*, which makes no sense here$/);
      await expect(transport.readStatus()).rejects.toBe(lost[0]);
      expect(lost).toEqual([expect.any(TransportError)]);
    },
  );

  it('gets answers and errors by their ids, in any order', async () => {
    const { transport, far, inbox } = await opened();
    const status = transport.readStatus();
    const size = transport.readQueueSize(4);
    expect(await inbox.next()).toEqual({ kind: 'call', id: 0, name: 'readStatus', args: [] });
    expect(await inbox.next()).toEqual({ kind: 'call', id: 1, name: 'readQueueSize', args: [4] });
    far.postMessage({ kind: 'error', id: 1, message: 'no queue' });
    far.postMessage({ kind: 'answer', id: 0, value: 15 });
    await expect(size).rejects.toThrow("the device's side: no queue");
    expect(await status).toBe(15);
  });

  it('rejects a call with an argument that cannot be sent', async () => {
    const { transport, far, inbox } = await opened();
    await expect(transport.call('readQueueSize', (() => 1) as unknown as number)).rejects.toThrow(
      'could not be cloned',
    );
    const status = transport.readStatus();
    expect(await inbox.next()).toMatchObject({ name: 'readStatus', id: 1 });
    far.postMessage({ kind: 'answer', id: 1, value: 0 });
    expect(await status).toBe(0);
  });

  it('sends no kick and takes no interrupt after the device side is lost', async () => {
    const { transport, far, inbox } = await opened();
    const calls: string[] = [];
    transport.onUsedBuffer = () => calls.push('used');
    transport.onConfigChange = () => calls.push('config');
    far.postMessage({ kind: 'interrupt', cause: 'used' });
    far.postMessage({ kind: 'interrupt', cause: 'config' });
    await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
    expect(calls).toEqual(['used', 'config']);
    transport.lose(new TransportError('over'));
    transport.lose(new TransportError('and over'));
    transport.kick(0);
    far.postMessage({ kind: 'interrupt', cause: 'used' });
    await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
    expect(calls.length).toBe(2);
    await expect(Promise.race([inbox.next(), Promise.resolve('nothing')])).resolves.toBe('nothing');
    await expect(transport.readStatus()).rejects.toThrow(/^over$/);
  });
});

it('a driver whose device side talks nonsense has its requests rejected and is told once', async () => {
  const [near, far] = messagePair();
  const memory = GuestMemory.over(new Uint8Array(1 << 20));
  // Nothing is ever scheduled: requests stay out.
  const disk = new FaultyDisk(new MemoryDisk({ capacitySectors: 8 }), { latency: () => 1, schedule: () => {} });
  const opening = MessageTransport.open(near);
  serveDevice(far, () => new Device(new BlockDevice(disk), memory));
  const driver = new BlockDriver(await opening, new GuestAllocator(memory, 0x1000, 0xff000));
  await driver.initialize();
  const failures: Error[] = [];
  driver.driver.onFailed = (error) => failures.push(error);
  const requests = Array.from({ length: 5 }, (_, n) => driver.read(n, 512));
  const results = Promise.allSettled(requests);
  await new Promise((resolve) => setImmediate(resolve));
  far.postMessage('nonsense');
  expect((await results).map((result) => result.status === 'rejected' && result.reason)).toEqual(
    Array(5).fill(expect.any(TransportError)),
  );
  await new Promise((resolve) => setImmediate(resolve));
  expect(failures).toEqual([expect.any(TransportError)]);
  expect(driver.driver.state).toBe('failed');
});
