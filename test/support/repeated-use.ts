import type { Device } from '../../src/device/device.ts';
import type { GuestMemory } from '../../src/memory/guest-memory.ts';
import { Feature, hasFeature } from '../../src/spec/features.ts';
import { PackedDescriptor, PackedFlag } from '../../src/spec/packed-ring.ts';
import { Used } from '../../src/spec/split-ring.ts';

/** Writes what a device has used last once more, past its own queue, which would not do that. */
export function repeatLastUsed(device: Device, memory: GuestMemory, queue: number): void {
  const slot = device.queues[queue]!;
  if (slot.queue === undefined) return;
  if (hasFeature(device.accepted, Feature.RING_PACKED)) repeatPacked(slot, memory);
  else repeatSplit(slot, memory);
}

type Place = Pick<Device['queues'][number], 'size' | 'descriptorArea' | 'deviceArea'>;

function repeatSplit({ deviceArea, size }: Place, memory: GuestMemory): void {
  const region = memory.find(deviceArea, Used.RING + Used.ENTRY_SIZE * size)!;
  const at = deviceArea - region.address;
  const index = region.view.getUint16(at + Used.INDEX, true);
  if (index === 0) return;
  const entry = (position: number): number => at + Used.RING + Used.ENTRY_SIZE * (position % size);
  region.bytes.copyWithin(entry(index), entry(index - 1), entry(index - 1) + Used.ENTRY_SIZE);
  region.view.setUint16(at + Used.INDEX, index + 1, true);
}

/** In the first round: where the last used descriptor is followed by others of its chain, the next one is used behind them. */
function repeatPacked({ descriptorArea, size }: Place, memory: GuestMemory): void {
  const { SIZE, ID, FLAGS } = PackedDescriptor;
  const region = memory.find(descriptorArea, SIZE * size)!;
  const at = descriptorArea - region.address;
  const flags = (position: number): number => region.view.getUint16(at + SIZE * position + FLAGS, true);
  const USED = PackedFlag.AVAILABLE | PackedFlag.USED;
  const last = Array.from({ length: size }, (_, n) => n).findLast((n) => (flags(n) & USED) === USED);
  if (last === undefined || last + 3 >= size) return;
  const next = last + 3;
  region.bytes.copyWithin(at + SIZE * next, at + SIZE * last, at + SIZE * (last + 1));
  region.view.setUint16(at + SIZE * next + ID, region.view.getUint16(at + SIZE * last + ID, true), true);
}
