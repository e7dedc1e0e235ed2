import type { GuestMemory } from '../memory/guest-memory.ts';
import { ProtocolError, StateError } from '../spec/fault.ts';
import { MAX_PACKED_QUEUE_SIZE, PACKED_ALIGNMENT, PackedFlag } from '../spec/packed-ring.ts';
import { addPieces } from './buffer-pieces.ts';
import type { Chain } from './chain.ts';
import type { QueueLayout, QueueState } from './device-queue.ts';

const { WRITE } = PackedFlag;

/** Adds the buffer of one descriptor to a chain. */
export function addSegment(memory: GuestMemory, chain: Chain, address: number, bytes: number, flags: number): void {
  const writable = (flags & WRITE) !== 0;
  if (!writable && chain.writableBytes > 0) {
    throw new ProtocolError('packed.driver.sg.3', 'a device-readable descriptor after a device-writable one');
  }
  if (bytes === 0) return;
  const region = memory.find(address, bytes);
  if (region === undefined) addPieces(memory, chain, address, bytes, writable, 'packed.driver.desc.memory');
  else if (writable) chain.addWritable(region, address - region.address, bytes);
  else chain.addReadable(region, address - region.address, bytes);
}

/** Throws ProtocolError for a layout that no driver may set up. */
export function checkLayout({ size, descriptorArea, driverArea, deviceArea }: QueueLayout): void {
  if (!Number.isInteger(size) || size < 1 || size > MAX_PACKED_QUEUE_SIZE) {
    throw new ProtocolError(
      'pci.driver.common.2',
      `a packed queue of ${size} entries; sizes go up to ${MAX_PACKED_QUEUE_SIZE}`,
    );
  }
  const aligned =
    descriptorArea % PACKED_ALIGNMENT.descriptor === 0 &&
    driverArea % PACKED_ALIGNMENT.driver === 0 &&
    deviceArea % PACKED_ALIGNMENT.device === 0;
  if (!aligned)
    throw new ProtocolError('packed.driver.layout.1', 'a part of the queue is not aligned to 16, 4 or 4 bytes');
}

/**
 * Where a queue of `size` goes on: a queue at rest has taken and used the same descriptors, so that its two positions are one. Of
 * one that was left at work it is the used one; what was taken from there on comes with the state.
 */
export function positionOf(state: QueueState, size: number): { next: number; wrap: number } {
  if (state.format !== 'packed') throw new StateError(`a "${state.format}" position is none of a packed queue`);
  const { usedNext: next, usedWrap: wrap, taken = [] } = state;
  if (!Number.isInteger(next) || next < 0 || next >= size || (wrap !== 0 && wrap !== 1)) {
    throw new StateError(`"${state.format}" at ${next} is no position of a packed queue of ${size}`);
  }
  const between = taken.reduce((sum, { descriptors }) => sum + descriptors.length, 0);
  const end = next + between;
  const wrapped = end >= size;
  const isNext =
    state.availableNext === (wrapped ? end - size : end) && state.availableWrap === (wrapped ? wrap ^ 1 : wrap);
  if (!isNext || between > size) {
    throw new StateError(
      `a queue that took up to ${state.availableNext} and used up to ${next} is not at rest, and what is in between is not known`,
    );
  }
  return { next, wrap };
}
