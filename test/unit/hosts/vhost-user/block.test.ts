/** Our driver, over vhost-user, and our device: all that the two say to each other goes through the socket. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { BlockDevice, type BlockDeviceOptions } from '../../../../src/devices/block/device.ts';
import { BlockDriver } from '../../../../src/devices/block/driver.ts';
import type { DriverOptions } from '../../../../src/driver/driver.ts';
import { VhostUserTransport } from '../../../../src/hosts/vhost-user/driver-transport.ts';
import { LOG_ALL_BIT, PROTOCOL_FEATURES_BIT } from '../../../../src/hosts/vhost-user/messages.ts';
import { type ServerEvent, serveVhostUser, type VhostUserServer } from '../../../../src/hosts/vhost-user/server.ts';
import { GuestAllocator } from '../../../../src/memory/allocator.ts';
import { DeviceId } from '../../../../src/spec/device-ids.ts';
import { Feature, featureSet, hasFeature } from '../../../../src/spec/features.ts';
import { Status } from '../../../../src/spec/status.ts';
import { MemoryDisk } from '../../../../src/storage/memory-disk.ts';
import { RecordingDisk } from '../../../support/recording-disk.ts';
import { pattern } from '../../../support/rig.ts';
import { openFds } from '../../unix/open-fds.ts';

let folder: string;
let path: string;
let fdsBefore: number;
beforeEach(() => {
  fdsBefore = openFds();
  folder = mkdtempSync(join(tmpdir(), 'virtio-vhost-'));
  path = join(folder, 'socket');
});
const servers: VhostUserServer[] = [];
const transports: VhostUserTransport[] = [];
afterEach(async () => {
  for (const transport of transports.splice(0)) transport.close();
  for (const server of servers.splice(0)) await server.close(100).catch(() => {});
  rmSync(folder, { recursive: true });
  expect(openFds()).toBe(fdsBefore);
});

const events: ServerEvent[] = [];
async function serve(disk: MemoryDisk | RecordingDisk, options: BlockDeviceOptions = {}): Promise<VhostUserServer> {
  events.length = 0;
  const server = await serveVhostUser({
    path,
    device: () => new BlockDevice(disk, options),
    onEvent: (event) => events.push(event),
  });
  servers.push(server);
  return server;
}

async function connect(options: DriverOptions = {}): Promise<{ driver: BlockDriver; transport: VhostUserTransport }> {
  const transport = await VhostUserTransport.open({ path, deviceId: DeviceId.BLOCK });
  transports.push(transport);
  const allocator = new GuestAllocator(transport.memory, 0x1000, transport.memory.regions[0]!.size - 0x1000);
  const driver = new BlockDriver(transport, allocator, options);
  await driver.initialize();
  return { driver, transport };
}

describe.each(['split', 'packed'] as const)('a disk with %s rings', (format) => {
  const options = { decline: format === 'split' ? [Feature.RING_PACKED] : [] };

  it('is read and written, many requests at once', async () => {
    await serve(new MemoryDisk({ capacitySectors: 4096 }));
    const { driver } = await connect(options);
    await Promise.all(Array.from({ length: 200 }, (_, n) => driver.write(n * 8, pattern(4096, n))));
    for (let n = 0; n < 200; n++) expect(Buffer.compare(await driver.read(n * 8, 4096), pattern(4096, n))).toBe(0);
    expect(hasFeature(driver.driver.features, Feature.RING_PACKED)).toBe(format === 'packed');
  });

  it('suspends by the bit in the status once nothing is in processing, and resumes', async () => {
    const disk = new RecordingDisk();
    const server = await serve(disk);
    const { driver, transport } = await connect(options);
    disk.later = true;
    const written = driver.write(0, pattern(512));
    await expect.poll(() => disk.waiting.length).toBe(1);
    const suspended = driver.suspend();
    await expect.poll(async () => (await server.status()).status).toBe(0x1f);
    disk.finish(disk.waiting.shift()!);
    await Promise.all([written, suspended]);
    expect(await transport.readStatus()).toBe(0x1b);
    await driver.resume();
    expect(await transport.readStatus()).toBe(0x0f);
    disk.later = false;
    expect(await driver.read(0, 512)).toEqual(pattern(512));
  });

  it('goes on in another server once it is suspended', async () => {
    const disk = new MemoryDisk({ capacitySectors: 4096 });
    await serve(disk);
    const { driver, transport } = await connect(options);
    const written = Array.from({ length: 100 }, (_, n) => driver.write(n * 8, pattern(4096, n)));
    await driver.suspend();
    const state = await transport.saveState();
    path = join(folder, 'next');
    await serve(disk);
    await transport.moveTo(path, state);
    expect(await transport.readStatus()).toBe(0x1b);
    await driver.resume();
    await Promise.all(written);
    for (let n = 0; n < 100; n++) expect(Buffer.compare(await driver.read(n * 8, 4096), pattern(4096, n))).toBe(0);
    expect(events.filter(({ event }) => event === 'failed' || event === 'rejected')).toEqual([]);
  });

  it('goes on where it was when the rings were stopped and started again', async () => {
    await serve(new MemoryDisk({ capacitySectors: 4096 }));
    const { driver } = await connect(options);
    for (let n = 0; n < 300; n++) await driver.write(n, pattern(512, n));
    await driver.initialize();
    for (let n = 0; n < 300; n++) expect(Buffer.compare(await driver.read(n, 512), pattern(512, n))).toBe(0);
  });
});

describe('the status of a disk', () => {
  it('gets DRIVER_OK from its driver, with which SUSPEND means nothing yet, though its rings are started before', async () => {
    await serve(new MemoryDisk({ capacitySectors: 64 }));
    const transport = await VhostUserTransport.open({ path, deviceId: DeviceId.BLOCK });
    transports.push(transport);
    const { ACKNOWLEDGE, DRIVER, FEATURES_OK, DRIVER_OK, SUSPEND } = Status;
    const chosen = ACKNOWLEDGE | DRIVER | FEATURES_OK;
    await transport.writeFeatures(featureSet(Feature.VERSION_1, Feature.SUSPEND));
    await transport.writeStatus(chosen);
    await transport.enableQueue(0, { size: 16, descriptorArea: 0x1000, driverArea: 0x2000, deviceArea: 0x3000 });
    expect(await transport.readStatus()).toBe(chosen);
    await transport.writeStatus(chosen | SUSPEND);
    expect(await transport.readStatus()).toBe(chosen);
    await transport.writeStatus(chosen | SUSPEND | DRIVER_OK);
    expect(await transport.readStatus()).toBe(chosen | DRIVER_OK);
    await transport.writeStatus(chosen | SUSPEND | DRIVER_OK);
    expect(await transport.readStatus()).toBe(chosen | SUSPEND);
  });

  it("offers what is the device's, and not what is the protocol's", async () => {
    await serve(new MemoryDisk({ capacitySectors: 64 }));
    const { transport } = await connect();
    expect(transport.readFeatures() & featureSet(LOG_ALL_BIT, PROTOCOL_FEATURES_BIT)).toBe(0n);
  });
});

describe('a server', () => {
  it('says how it is doing', async () => {
    const server = await serve(new MemoryDisk({ capacitySectors: 4096 }), { queues: 2 });
    expect(await server.status()).toMatchObject({ connected: false, status: 0, sessions: 0 });
    const { driver } = await connect();
    for (let n = 0; n < 10; n++) await driver.read(n, 512);
    expect(await server.status()).toMatchObject({
      connected: true,
      status: Status.ACKNOWLEDGE | Status.DRIVER | Status.FEATURES_OK | Status.DRIVER_OK,
      sessions: 1,
      inFlight: 0,
      failure: null,
      memory: { regions: 1, bytes: 16 << 20 },
    });
    expect((await server.status()).queues.reduce((sum, { served }) => sum + served, 0)).toBe(10);
  });

  it('serves one front-end after the other, and only one at a time', async () => {
    await serve(new MemoryDisk({ capacitySectors: 4096 }));
    const { driver, transport } = await connect();
    await driver.write(7, pattern(512));
    await expect(connect()).rejects.toThrow(/ended the connection|EPIPE|ECONNRESET/);
    transport.close();
    const second = await connect();
    expect(await second.driver.read(7, 512)).toEqual(pattern(512));
    expect(events.map(({ event }) => event)).toEqual(['connected', 'refused', 'disconnected', 'connected']);
  });

  it('holds requests back while it is paused', async () => {
    const server = await serve(new MemoryDisk({ capacitySectors: 4096 }));
    const { driver, transport } = await connect();
    await server.pause();
    let done = false;
    const written = driver.write(0, pattern(512)).then(() => {
      done = true;
    });
    expect(await transport.readStatus()).toBe(0x0f);
    expect(done).toBe(false);
    await server.continue();
    await written;
  });

  it('refuses a state that is none, or that is of another device', async () => {
    await serve(new MemoryDisk({ capacitySectors: 4096 }));
    const empty = await VhostUserTransport.open({ path, deviceId: DeviceId.BLOCK });
    await expect(empty.loadState(new TextEncoder().encode('{}'))).rejects.toThrow('did not take the state');
    expect(events.at(-1)).toMatchObject({ event: 'rejected', message: 'CHECK_DEVICE_STATE' });
    empty.close();
    const { driver, transport } = await connect();
    await driver.suspend();
    const state = await transport.saveState();
    path = join(folder, 'next');
    await serve(new MemoryDisk({ capacitySectors: 4096 }), { queues: 4 });
    await expect(transport.moveTo(path, state)).rejects.toThrow('did not take the state');
  });

  it('tells the driver of a disk that has another size', async () => {
    const disk = new MemoryDisk({ capacitySectors: 4096 });
    await serve(disk);
    const { driver } = await connect();
    const resized = new Promise<void>((resolve) => {
      driver.onInfoChange = () => resolve();
    });
    disk.resize(8192);
    await resized;
    expect(driver.info.capacitySectors).toBe(8192);
  });

  it('ends what is in processing before it closes', async () => {
    const disk = new RecordingDisk();
    const server = await serve(disk);
    const { driver } = await connect();
    disk.later = true;
    const written = driver.write(0, pattern(512));
    await expect.poll(() => disk.waiting.length).toBe(1);
    const closed = server.close();
    disk.finish(disk.waiting.shift()!);
    await Promise.all([written, closed]);
    await expect(driver.read(0, 512)).rejects.toThrow();
  });

  it('lets go of a front-end that is gone, whatever was in processing', async () => {
    const disk = new RecordingDisk();
    const server = await serve(disk);
    const { driver, transport } = await connect();
    disk.later = true;
    const written = driver.write(0, pattern(512)).catch((error: Error) => error);
    await expect.poll(() => disk.waiting.length).toBe(1);
    transport.close();
    await written;
    await expect.poll(async () => (await server.status()).connected).toBe(false);
    const second = connect();
    disk.later = false;
    disk.waiting.shift()!.fail(new Error('nobody waits for it any more'));
    await (await second).driver.write(1, pattern(512, 2));
    expect(disk.contents.subarray(512, 1024)).toEqual(pattern(512, 2));
  });
});
