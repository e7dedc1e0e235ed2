import { Device } from 'virtio-ts/device';
import { BlockDevice } from 'virtio-ts/devices/block';
import type { DeviceMaker } from 'virtio-ts/hosts/loopback/node';
import { MemoryDisk } from 'virtio-ts/storage';

/** The device of the loopback suite's worker rows. */
const maker: DeviceMaker = (memory) => {
  const disk = new MemoryDisk({ capacitySectors: 64 * 1024 });
  return () => new Device(new BlockDevice(disk), memory);
};

export default maker;
