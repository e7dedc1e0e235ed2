import { Device } from 'virtio-ts/device';
import { BlockDevice, BlockDriver } from 'virtio-ts/devices/block';
import { PciLoopback } from 'virtio-ts/hosts/loopback';
import { GuestAllocator, GuestMemory } from 'virtio-ts/memory';
import { MemoryDisk } from 'virtio-ts/storage';
import { PciDevice, PciDriverTransport } from 'virtio-ts/transports/pci';

// A virtio disk, and a driver that uses it over PCI.
const memory = GuestMemory.over(new Uint8Array(1 << 20));
const disk = new MemoryDisk({ capacitySectors: 2048 });
const before = new PciDevice(new Device(new BlockDevice(disk), memory));
const bus = new PciLoopback(before);
const driver = new BlockDriver(await PciDriverTransport.open(bus), new GuestAllocator(memory, 0x1000, 0xff000));
await driver.initialize();
await driver.write(0, new TextEncoder().encode('still here'.padEnd(512)));

// The driver suspends it (VIRTIO_F_SUSPEND), its state moves to a new device, and the driver resumes that one.
await driver.suspend();
const state = JSON.stringify(before.save());
const after = new PciDevice(new Device(new BlockDevice(disk), memory));
after.restore(JSON.parse(state));
bus.connect(after);
await driver.resume();
console.log(new TextDecoder().decode(await driver.read(0, 512)).trim());
