import { Device } from '../../device/device.ts';
import { BlockDevice } from '../../devices/block/device.ts';
import type { DeviceMaker } from '../../hosts/loopback/node-worker.ts';
import { MemoryDisk } from '../../storage/memory-disk.ts';
import { CountingDisk } from './counting-disk.ts';

/** The device of the loopback load in its worker; how often each tag was written is told over `results`. */
const maker: DeviceMaker = (memory, options) => {
  const { sectors, results } = options as { sectors: number; results: SharedArrayBuffer };
  const disk = new CountingDisk(new MemoryDisk({ capacitySectors: sectors }), new Int32Array(results));
  return () => new Device(new BlockDevice(disk), memory);
};

export default maker;
