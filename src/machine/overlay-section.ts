import { StateError } from '../spec/fault.ts';
import type { OverlayState } from '../storage/overlay-state.ts';

/** Block size, capacity (two words) and number of blocks, each of four bytes, little-endian; then block numbers, then data. */
const HEAD_BYTES = 16;

/** The state of a disk's overlay as the bytes of a section. */
export function encodeOverlay(state: OverlayState): Uint8Array {
  const { blockSize, capacitySectors, blocks, data } = state;
  const bytes = new Uint8Array(HEAD_BYTES + 4 * blocks.length + data.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, blockSize, true);
  view.setUint32(4, capacitySectors % 2 ** 32, true);
  view.setUint32(8, Math.floor(capacitySectors / 2 ** 32), true);
  view.setUint32(12, blocks.length, true);
  for (const [index, block] of blocks.entries()) view.setUint32(HEAD_BYTES + 4 * index, block, true);
  bytes.set(data, HEAD_BYTES + 4 * blocks.length);
  return bytes;
}

/** The state, for the overlay to check; `data` shares the memory of `bytes`. Throws StateError when it is cut short. */
export function decodeOverlay(bytes: Uint8Array): OverlayState {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const count = bytes.length < HEAD_BYTES ? 0 : view.getUint32(12, true);
  const dataStart = HEAD_BYTES + 4 * count;
  if (bytes.length < dataStart)
    throw new StateError(`the overlay has ${bytes.length} bytes, expected ${dataStart} or more`);
  return {
    version: 1,
    blockSize: view.getUint32(0, true),
    capacitySectors: view.getUint32(4, true) + view.getUint32(8, true) * 2 ** 32,
    blocks: Uint32Array.from({ length: count }, (_, index) => view.getUint32(HEAD_BYTES + 4 * index, true)),
    data: bytes.subarray(dataStart),
  };
}
