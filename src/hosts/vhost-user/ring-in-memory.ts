import type { GuestAddress, GuestMemory } from '../../memory/guest-memory.ts';
import { loadAcquire } from '../../memory/order.ts';
import type { QueueLayout } from '../../queue/device-queue.ts';
import { PackedDescriptor, PackedFlag } from '../../spec/packed-ring.ts';
import { Used } from '../../spec/split-ring.ts';
import type { RingInMemory } from './inflight-queue.ts';

/** What a driver sees of a ring that is not in use. What is outside of the memory throws ProtocolError. */
export function ringInMemory(memory: GuestMemory, { deviceArea, descriptorArea }: QueueLayout): RingInMemory {
  const read = (address: GuestAddress): number => {
    const region = memory.locate(address, 2, 'vhost.frontend.vring.address', 'a ring');
    return loadAcquire(region, address - region.address);
  };
  return {
    get usedIndex() {
      return read(deviceArea + Used.INDEX);
    },
    isUsed: (position, wrap) => {
      const flags = read(descriptorArea + PackedDescriptor.SIZE * position + PackedDescriptor.FLAGS);
      const [available, used] = [PackedFlag.AVAILABLE, PackedFlag.USED].map((flag) => ((flags & flag) !== 0 ? 1 : 0));
      return available === wrap && used === wrap;
    },
  };
}
