import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { Device } from '../../../../src/device/device.ts';
import { BlockDevice } from '../../../../src/devices/block/device.ts';
import { BlockDriver } from '../../../../src/devices/block/driver.ts';
import { VfioUserClient } from '../../../../src/hosts/vfio-user/client.ts';
import { serveVfioUser } from '../../../../src/hosts/vfio-user/server.ts';
import { GuestAllocator } from '../../../../src/memory/allocator.ts';
import { GuestMemory } from '../../../../src/memory/guest-memory.ts';
import { MemoryDisk } from '../../../../src/storage/memory-disk.ts';
import { PciDevice } from '../../../../src/transports/pci/device.ts';
import { PciDriverTransport } from '../../../../src/transports/pci/driver.ts';
import { pattern } from '../../../support/rig.ts';
import { openFds } from '../../unix/open-fds.ts';

let folder: string;
let fdsBefore: number;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'virtio-vfio-'));
  fdsBefore = openFds();
});
afterEach(() => {
  expect(openFds()).toBe(fdsBefore);
  rmSync(folder, { recursive: true });
});

it.each([0, 2])(
  'a disk in another process is read, written, suspended and resumed, with %i vectors',
  async (vectors) => {
    const memory = new GuestMemory();
    const device = new Device(new BlockDevice(new MemoryDisk({ capacitySectors: 2048 })), memory);
    const server = serveVfioUser({
      path: join(folder, 'socket'),
      function: new PciDevice(device, { vectors }),
      memory,
    });
    const client = await VfioUserClient.connect(server.path);
    const allocator = new GuestAllocator(client.memory, 0x1000, 8 << 20);
    const transport = await PciDriverTransport.open(client);
    expect(transport.interrupts).toBe(vectors === 0 ? 'INTx' : 'MSI-X');
    const driver = new BlockDriver(transport, allocator);
    await driver.initialize();
    const bytes = pattern(65536);
    await driver.write(3, bytes);
    expect(await driver.read(3, bytes.length)).toEqual(bytes);
    await driver.driver.suspend();
    expect(device.status).toBe(0x1b);
    await driver.driver.resume();
    expect(await driver.read(3, bytes.length)).toEqual(bytes);
    client.close();
    await server.close();
  },
);
