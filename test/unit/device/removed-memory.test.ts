import { expect, it } from 'vitest';
import { Device } from '../../../src/device/device.ts';
import { BlockDevice } from '../../../src/devices/block/device.ts';
import { BlockDriver } from '../../../src/devices/block/driver.ts';
import { DirectTransport } from '../../../src/hosts/loopback/direct.ts';
import { GuestAllocator } from '../../../src/memory/allocator.ts';
import { GuestMemory } from '../../../src/memory/guest-memory.ts';
import { FaultyDisk } from '../../../src/storage/faulty-disk.ts';
import { MemoryDisk } from '../../../src/storage/memory-disk.ts';
import { settle } from '../../support/fake-clock.ts';

it('memory that is gone when a request ends is the peer’s fault: DEVICE_NEEDS_RESET, not an error for the disk', async () => {
  const memory = GuestMemory.over(new Uint8Array(1 << 20));
  const disk = new FaultyDisk(new MemoryDisk({ capacitySectors: 64 }));
  const device = new Device(new BlockDevice(disk), memory);
  const driver = new BlockDriver(new DirectTransport(device), new GuestAllocator(memory, 4096, (1 << 20) - 4096));
  await driver.initialize();
  disk.hold();
  const request = driver.read(0, 512);
  const lost = expect(request).rejects.toThrow();
  await settle();
  expect(disk.held).toHaveLength(1);

  memory.remove(memory.regions[0]!);
  expect(() => disk.finish(1)).not.toThrow();

  expect(device.failure?.message).toContain('split.driver.layout.memory');
  await lost;
});
