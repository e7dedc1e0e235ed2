import { BlockDriver } from '../../src/devices/block/driver.ts';
import { BlockStatus } from '../../src/devices/block/layout.ts';
import { GuestAllocator } from '../../src/memory/allocator.ts';
import { GuestMemory } from '../../src/memory/guest-memory.ts';
import { FakeClock } from './fake-clock.ts';
import { ScriptedDevice } from './scripted-device.ts';

export interface DriverRig {
  readonly memory: GuestMemory;
  readonly allocator: GuestAllocator;
  readonly clock: FakeClock;
  readonly device: ScriptedDevice;
  readonly driver: BlockDriver;
  /** Answers the oldest `count` requests that the device has, and interrupts. */
  answer(count?: number): void;
}

/** A block driver on a scripted device with a capacity of 64 sectors; not initialised yet. */
export function makeDriverRig(): DriverRig {
  const memory = GuestMemory.over(new Uint8Array(1 << 18));
  const allocator = new GuestAllocator(memory, 0x1000, (1 << 18) - 0x1000);
  const clock = new FakeClock();
  const device = new ScriptedDevice(memory, 2);
  device.config[0] = 64;
  const driver = new BlockDriver(device, allocator, { clock });
  const answer = (count = 1): void => {
    const queue = device.queues[0]!;
    for (let n = 0; n < count; n++) {
      const chain = queue.take();
      if (chain === undefined) throw new Error('the driver has exposed no more requests');
      chain.writeU8(chain.writableBytes - 1, BlockStatus.OK);
      queue.complete(chain, chain.writableBytes);
    }
    if (queue.publish()) device.onUsedBuffer?.();
  };
  return { memory, allocator, clock, device, driver, answer };
}

/** As `makeDriverRig`, initialised, with an empty log. */
export async function startDriverRig(): Promise<DriverRig> {
  const rig = makeDriverRig();
  await rig.driver.initialize();
  rig.device.takeLog();
  return rig;
}
