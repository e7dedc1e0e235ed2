/** A disk behind vfio-user, and our driver in front of it. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { BlockDevice } from '../../../../src/devices/block/device.ts';
import { BlockDriver } from '../../../../src/devices/block/driver.ts';
import type { VfioUserClient } from '../../../../src/hosts/vfio-user/client.ts';
import { ClientMemory } from '../../../../src/hosts/vfio-user/client-memory.ts';
import { GuestAllocator } from '../../../../src/memory/allocator.ts';
import { TransportError } from '../../../../src/spec/fault.ts';
import { Feature } from '../../../../src/spec/features.ts';
import { FaultyDisk } from '../../../../src/storage/faulty-disk.ts';
import { MemoryDisk } from '../../../../src/storage/memory-disk.ts';
import { PciDriverTransport } from '../../../../src/transports/pci/driver.ts';
import { FakeClock } from '../../../support/fake-clock.ts';
import { pattern } from '../../../support/rig.ts';
import { openFds } from '../../unix/open-fds.ts';
import { ChangingAccess } from './changing-access.ts';
import { VfioRig, type VfioRigOptions } from './vfio-rig.ts';

let fdsBefore: number;
const cleanUp: (() => void | Promise<void>)[] = [];
beforeEach(() => {
  fdsBefore = openFds();
});
afterEach(async () => {
  for (const action of cleanUp.splice(0).reverse()) await action();
  expect(openFds()).toBe(fdsBefore);
});

interface Driven {
  readonly rig: VfioRig;
  readonly disk: FaultyDisk;
  readonly behind: MemoryDisk;
  readonly client: VfioUserClient;
  readonly driver: BlockDriver;
  readonly transport: PciDriverTransport;
}

async function drive(options: VfioRigOptions = {}): Promise<Driven> {
  const behind = new MemoryDisk({ capacitySectors: 2048 });
  const disk = new FaultyDisk(behind);
  const rig = new VfioRig({ ...options, type: new BlockDevice(disk) });
  cleanUp.push(() => rig.close());
  const client = await rig.openClient();
  return { rig, disk, behind, client, ...(await start(client)) };
}

async function start(client: VfioUserClient): Promise<Pick<Driven, 'driver' | 'transport'>> {
  const transport = await PciDriverTransport.open(client);
  const driver = new BlockDriver(transport, new GuestAllocator(client.memory, 0x1000, 1 << 20));
  await driver.initialize();
  return { transport, driver };
}

describe.each([
  [0, 'INTx'],
  [1, 'INTx'],
  [2, 'MSI-X'],
] as const)('a disk with %i vectors', (vectors, interrupts) => {
  it(`is read and written with ${interrupts}, suspended and resumed while requests are in flight`, async () => {
    const { rig, disk, driver, transport } = await drive({ vectors, device: { offer: [Feature.RING_PACKED] } });
    expect(transport.interrupts).toBe(interrupts);
    const bytes = pattern(65536);
    await driver.write(3, bytes);
    for (let n = 0; n < 10; n++) {
      disk.hold();
      const reads = Array.from({ length: 8 }, (_, at) => driver.read(3 + at, 512));
      await expect.poll(() => rig.device.inFlight, { interval: 1 }).toBe(8);
      const suspending = driver.driver.suspend();
      await expect.poll(() => rig.device.status, { interval: 1 }).toBe(0x1f);
      disk.release();
      await suspending;
      expect(rig.device.status).toBe(0x1b);
      for (const [at, read] of reads.entries()) expect(await read).toEqual(bytes.subarray(at * 512, at * 512 + 512));
      await driver.driver.resume();
      expect(rig.device.status).toBe(0x0f);
    }
    expect(await driver.read(3, bytes.length)).toEqual(bytes);
  });

  it('is told of a new size', async () => {
    const { behind, driver } = await drive({ vectors });
    behind.resize(4096);
    await expect.poll(() => driver.info.capacitySectors).toBe(4096);
  });
});

describe('the memory of a driver at work', () => {
  it('is taken away only when nothing is in flight, and the device goes on when it is back', async () => {
    const { rig, disk, client, driver } = await drive();
    const bytes = pattern(4096);
    await driver.write(0, bytes);
    disk.hold();
    const read = driver.read(0, bytes.length);
    await expect.poll(() => rig.device.inFlight).toBe(1);
    let isGone = false;
    const gone = client.unshare().then(() => {
      isGone = true;
    });
    await expect.poll(() => rig.device.paused).toBe(true);
    expect([isGone, rig.device.inFlight, rig.memory.regions.length]).toEqual([false, 1, 1]);
    disk.release();
    await gone;
    expect(await read).toEqual(bytes);
    expect(rig.memory.regions).toEqual([]);
    expect(rig.device).toMatchObject({ status: 0x0f, paused: true });
    // Its driver asks for something in the meantime.
    const another = driver.read(1, 512);
    await client.readConfig(0, 2);
    expect(rig.device.status).toBe(0x0f);
    await client.share();
    expect(await another).toEqual(bytes.subarray(512, 1024));
    expect(rig.device).toMatchObject({ status: 0x0f, paused: false });
  });

  it('is taken away from a disk that does not answer, which fails for it', async () => {
    const clock = new FakeClock();
    const { rig, disk, client, driver } = await drive({ device: { clock } });
    disk.hold();
    const read = driver.read(0, 512).catch((error: unknown) => error);
    await expect.poll(() => rig.device.inFlight).toBe(1);
    const gone = client.unshare();
    await expect.poll(() => clock.pending).toBe(1);
    await clock.advance(3000);
    await gone;
    expect(rig.device.status).toBe(0x4f);
    await client.share();
    // It is not waited for a second time.
    await client.unshare();
    await client.share();
    // What the disk answers at last is for nobody.
    disk.release();
    expect(rig.device.inFlight).toBe(0);
    await driver.initialize();
    expect(await read).toBeInstanceOf(Error);
    expect(await driver.read(0, 512)).toHaveLength(512);
  });

  it('comes and goes while the driver is suspended', async () => {
    const { rig, client, driver } = await drive();
    await driver.driver.suspend();
    await client.unshare();
    expect(rig.device.status).toBe(0x1b);
    await client.share();
    await driver.driver.resume();
    expect(await driver.read(0, 512)).toHaveLength(512);
  });
});

describe('a client that goes away', () => {
  it('is waited for until nothing is in flight; then the next one is served', async () => {
    const { rig, disk, client, driver } = await drive();
    disk.hold();
    const read = driver.read(0, 512).catch((error: unknown) => error);
    await expect.poll(() => rig.device.inFlight).toBe(1);
    client.close();
    await expect.poll(() => rig.server.status.connected).toBe(false);
    const next = rig.openClient();
    await expect.poll(() => rig.device.paused).toBe(true);
    expect(rig.server.status).toMatchObject({ sessions: 1, dmaRegions: 1 });
    disk.release();
    const { driver: second } = await start(await next);
    expect(await second.read(0, 512)).toHaveLength(512);
    expect(rig.server.status).toMatchObject({ connected: true, sessions: 2, dmaRegions: 1 });
    expect(rig.device.failure).toBeUndefined();
    expect(await read).toBeInstanceOf(Error);
  });

  it('leaves the device as it is, for one that comes with the same memory', async () => {
    const memory = new ClientMemory(1 << 20);
    cleanUp.push(() => memory.release());
    const rig = new VfioRig({ vectors: 0 });
    cleanUp.push(() => rig.close());
    const access = new ChangingAccess(await rig.openClient({ memory }));
    const driver = new BlockDriver(
      await PciDriverTransport.open(access),
      new GuestAllocator(memory.memory, 0x1000, 1 << 19),
    );
    await driver.initialize();
    await driver.write(0, pattern(512));
    (access.client as VfioUserClient).close();
    await expect.poll(() => rig.device.paused).toBe(true);
    access.client = await rig.openClient({ memory });
    expect(await driver.read(0, 512)).toEqual(pattern(512));
    expect(rig.device.failure).toBeUndefined();
  });
});

describe('a server that is closed', () => {
  it('is a device that is lost to its driver, and drains first', async () => {
    const { rig, disk, driver } = await drive();
    disk.hold();
    const read = driver.read(0, 512);
    const failed = expect(read).rejects.toThrow(/server has closed the connection/);
    await expect.poll(() => rig.device.inFlight).toBe(1);
    let isClosed = false;
    const closed = rig.server.close().then(() => {
      isClosed = true;
    });
    await failed;
    expect(isClosed).toBe(false);
    disk.release();
    await closed;
    expect(rig.memory.regions).toEqual([]);
    await expect(driver.read(0, 512)).rejects.toThrow();
    await expect(rig.openClient()).rejects.toThrow(TransportError);
  });
});

describe('a reset of the function', () => {
  it('is a reset of the device, its interrupts included', async () => {
    const { rig, client } = await drive();
    await client.reset();
    expect(rig.device.status).toBe(0);
    expect(rig.fn.interrupts.msix!.enabled).toBe(false);
    expect(rig.fn.readConfig(4, 2)).toBe(0);
    const { driver: next } = await start(client);
    expect(await next.read(0, 512)).toHaveLength(512);
  });
});

describe('a device that moves to another server', () => {
  /** A second server, with a device for the same disk; both clients share one memory. */
  async function two(): Promise<{
    rigs: readonly [VfioRig, VfioRig];
    clients: readonly [VfioUserClient, VfioUserClient];
    access: ChangingAccess;
    driver: BlockDriver;
    memory: ClientMemory;
  }> {
    const memory = new ClientMemory(1 << 20);
    cleanUp.push(() => memory.release());
    const disk = new MemoryDisk({ capacitySectors: 2048 });
    const rigs = [0, 1].map(() => new VfioRig({ vectors: 0, type: new BlockDevice(disk) })) as [VfioRig, VfioRig];
    for (const rig of rigs) cleanUp.push(() => rig.close());
    const clients = [await rigs[0].openClient({ memory }), await rigs[1].openClient({ memory })] as const;
    const access = new ChangingAccess(clients[0]);
    const transport = await PciDriverTransport.open(access);
    const driver = new BlockDriver(transport, new GuestAllocator(memory.memory, 0x1000, 1 << 19));
    await driver.initialize();
    return { rigs, clients, access, driver, memory };
  }

  it.each(['running', 'suspended'])('goes on there, %s', async (state) => {
    const { rigs, clients, access, driver } = await two();
    const bytes = pattern(4096);
    await driver.write(5, bytes);
    if (state === 'suspended') await driver.driver.suspend();
    const saved = await clients[0].save();
    expect(rigs[0].device.paused).toBe(true);
    await clients[1].restore(saved);
    access.client = clients[1];
    if (state === 'suspended') await driver.driver.resume();
    expect(await driver.read(5, bytes.length)).toEqual(bytes);
    expect(rigs[1].device).toMatchObject({ status: 0x0f, paused: false });
    // The one that it came from could go on as well.
    await clients[0].run();
    expect(rigs[0].device.paused).toBe(false);
  });

  it('is refused a state that is none, and is there again after a reset', async () => {
    const { rigs, clients } = await two();
    const [saver, target] = clients;
    const saved = await saver.save();
    const wrong = [
      new Uint8Array(0),
      Buffer.from('{}'),
      saved.subarray(1),
      Buffer.from(`${Buffer.from(saved)}`.replace(/"/, "'")),
    ];
    for (const state of wrong) {
      await expect(target.restore(state)).rejects.toThrow('refused feature: error 22');
      await expect(target.run()).rejects.toThrow('error 22');
      await target.reset();
      await target.run();
    }
    expect(rigs[1].device.status).toBe(0);
    await target.restore(saved);
    expect(rigs[1].device.status).toBe(0x0f);
  });

  it('is not stopped while its host has paused it', async () => {
    const { rigs, clients } = await two();
    await rigs[0].device.pause();
    await expect(clients[0].save()).rejects.toThrow('refused feature: error 16');
    rigs[0].device.continue();
    expect((await clients[0].save()).length).toBeGreaterThan(100);
  });

  it('goes on with the next client when the first one leaves in the middle of it', async () => {
    const { rigs, clients, access, driver, memory } = await two();
    await clients[0].save();
    clients[0].close();
    await expect.poll(() => rigs[0].server.status.connected).toBe(false);
    access.client = await rigs[0].openClient({ memory });
    expect(await driver.read(0, 512)).toHaveLength(512);
  });
});
