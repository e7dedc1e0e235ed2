import { describe, expect, it } from 'vitest';
import { Device } from '../../../../src/device/device.ts';
import { BlockDevice } from '../../../../src/devices/block/device.ts';
import { BlockDriver } from '../../../../src/devices/block/driver.ts';
import { MessageTransport } from '../../../../src/hosts/loopback/message-transport.ts';
import { serveDevice } from '../../../../src/hosts/loopback/serve.ts';
import { GuestAllocator } from '../../../../src/memory/allocator.ts';
import { GuestMemory } from '../../../../src/memory/guest-memory.ts';
import { TransportError } from '../../../../src/spec/fault.ts';
import { Feature } from '../../../../src/spec/features.ts';
import { MemoryDisk } from '../../../../src/storage/memory-disk.ts';
import { Inbox, messagePair } from '../../../support/message-pair.ts';

const SECTOR = new Uint8Array(512).map((_, n) => n);

/** The raw end of a channel to a served block device, after `ready`. */
async function served(): Promise<{ post(message: unknown): void; next(): Promise<unknown> }> {
  const [near, far] = messagePair();
  const memory = GuestMemory.over(new Uint8Array(65536));
  const disk = new MemoryDisk({ capacitySectors: 8 });
  const inbox = new Inbox(near);
  serveDevice(far, () => new Device(new BlockDevice(disk), memory));
  expect(await inbox.next()).toEqual({ kind: 'ready', deviceId: 2 });
  return { post: (message) => near.postMessage(message), next: () => inbox.next() };
}

/** A driver of a served block device; `beforeMake` is called before each device is made. */
async function driven(
  beforeMake: () => void = () => {},
): Promise<{ driver: BlockDriver; transport: MessageTransport }> {
  const [near, far] = messagePair();
  const memory = GuestMemory.over(new Uint8Array(1 << 20));
  const disk = new MemoryDisk({ capacitySectors: 8 });
  const opened = MessageTransport.open(near);
  serveDevice(far, () => {
    beforeMake();
    return new Device(new BlockDevice(disk), memory, { offer: [Feature.RING_RESET] });
  });
  const transport = await opened;
  const driver = new BlockDriver(transport, new GuestAllocator(memory, 0x1000, 0xff000));
  await driver.initialize();
  return { driver, transport };
}

describe('a served device', () => {
  it('has a queue reset and set up anew', async () => {
    const { driver } = await driven();
    await driver.write(1, SECTOR);
    await driver.driver.resetQueue(0, { size: 16 });
    expect(await driver.read(1, SECTOR.length)).toEqual(SECTOR);
  });

  it('answers calls', async () => {
    const { post, next } = await served();
    post({ kind: 'call', id: 7, name: 'readStatus', args: [] });
    expect(await next()).toEqual({ kind: 'answer', id: 7, value: 0 });
  });

  it.each(['format', 'toString', 'constructor', '__proto__', '', undefined, 7])(
    'answers a call that there is not, %o, with an error',
    async (name) => {
      const { post, next } = await served();
      post({ kind: 'call', id: 3, name, args: [] });
      expect(await next()).toEqual({ kind: 'error', id: 3, message: `there is no call "${name}"` });
    },
  );

  it.each([
    [null, -1],
    ['kick', -1],
    [42, -1],
    [{}, -1],
    [{ kind: 'reset' }, -1],
    [{ kind: 'reset', id: 5 }, 5],
    [{ kind: 'call', id: 6, name: 'readStatus' }, 6],
    [{ kind: 'call', name: 'readStatus', args: [] }, -1],
    [{ kind: 'call', id: 'x', name: 'readStatus', args: [] }, -1],
    [{ kind: 'kick' }, -1],
    [{ kind: 'kick', queue: 'length' }, -1],
  ])('answers %j with an error, and serves on', async (message, id) => {
    const { post, next } = await served();
    post(message);
    expect(await next()).toEqual({ kind: 'error', id, message: 'there is no such message' });
    post({ kind: 'call', id: 8, name: 'readStatus', args: [] });
    expect(await next()).toEqual({ kind: 'answer', id: 8, value: 0 });
  });

  it.each([
    ['writeFeatures', ['all']],
    ['writeConfig', [-1, 1, 0]],
    ['readConfig', [0, 1e9]],
    ['readConfig', [0, 'x']],
    ['save', []],
    ['renew', []],
  ])('answers %s(%j), which fails, with an error', async (name, args) => {
    const { post, next } = await served();
    // A device that was neither suspended nor paused cannot be saved.
    post({ kind: 'call', id: 2, name, args });
    expect(await next()).toMatchObject({ kind: 'error', id: 2, message: expect.stringMatching(/\w{3}/) });
  });

  it('ignores kicks of queues that it does not have', async () => {
    const { post, next } = await served();
    for (const queue of [1, -1, 1e9]) post({ kind: 'kick', queue });
    post({ kind: 'call', id: 1, name: 'readStatus', args: [] });
    expect(await next()).toEqual({ kind: 'answer', id: 1, value: 0 });
  });
});

describe('a driver of a served device', () => {
  it('suspends it, has it renewed and resumes it, with its data', async () => {
    let made = 0;
    const { driver, transport } = await driven(() => made++);
    await driver.write(3, SECTOR);
    await driver.suspend();
    expect(JSON.parse(await transport.call('renew'))).toMatchObject({ version: 1 });
    expect(made).toBe(2);
    await driver.resume();
    expect(await driver.read(3, 512)).toEqual(SECTOR);
  });

  it('resumes the device as it was when a new one cannot be made', async () => {
    let made = 0;
    const { driver, transport } = await driven(() => {
      if (++made > 1) throw new Error('no room');
    });
    await driver.write(3, SECTOR);
    await driver.suspend();
    await expect(transport.call('renew')).rejects.toThrow("the device's side: no room");
    await transport.call('save');
    await driver.resume();
    expect(await driver.read(3, 512)).toEqual(SECTOR);
  });

  it('is told that a running device cannot be renewed, and goes on', async () => {
    const { driver, transport } = await driven();
    await expect(transport.call('renew')).rejects.toBeInstanceOf(TransportError);
    await driver.write(0, SECTOR);
    expect(await driver.read(0, 512)).toEqual(SECTOR);
  });

  it('has the device paused and let go by its host', async () => {
    const { driver, transport } = await driven();
    await transport.call('pause');
    let done = false;
    const write = driver.write(1, SECTOR).then(() => {
      done = true;
    });
    await transport.call('save');
    expect(done).toBe(false);
    await transport.call('continue');
    await write;
    expect(await driver.read(1, 512)).toEqual(SECTOR);
  });
});
