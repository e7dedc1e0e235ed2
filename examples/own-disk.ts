import { Device } from 'virtio-ts/device';
import { BlockDevice, BlockDriver } from 'virtio-ts/devices/block';
import { DirectTransport } from 'virtio-ts/hosts/loopback';
import { GuestAllocator, GuestMemory } from 'virtio-ts/memory';
import { SimpleDisk } from 'virtio-ts/storage';

// A disk of your own is two functions: here every sector says its number.
const disk = new SimpleDisk({
  capacitySectors: 1000,
  read: async (position, length) => {
    const lines = Array.from({ length: length / 512 }, (_, n) => `sector ${position / 512 + n}`.padEnd(512));
    return new TextEncoder().encode(lines.join(''));
  },
});

const memory = GuestMemory.over(new Uint8Array(1 << 20));
const device = new Device(new BlockDevice(disk), memory);
const driver = new BlockDriver(new DirectTransport(device), new GuestAllocator(memory, 0x1000, 0xff000));
await driver.initialize();
console.log(new TextDecoder().decode(await driver.read(42, 512)).trim());
