import { StateError } from '../spec/fault.ts';
import { blockBytes } from './block-bytes.ts';
import { sectorBytes } from './disk-options.ts';

/**
 * What an overlay holds, as plain data that survives a structured clone and any codec for arrays of numbers.
 * Like everything that comes from outside it is untrusted until `checkOverlayState` let it pass.
 */
export interface OverlayState {
  readonly version: 1;
  /** Bytes of a block. */
  readonly blockSize: number;
  readonly capacitySectors: number;
  /**
   * Block numbers, each at most once. The first `data.length / blockSize` of them, ascending, have data; the rest, again
   * ascending, read as zeroes.
   */
  readonly blocks: Uint32Array;
  /** The blocks with data, one after the other. */
  readonly data: Uint8Array;
}

/** Throws StateError, naming the member and both values, when an overlay of this capacity cannot hold the state. */
export function checkOverlayState(state: OverlayState, capacitySectors: number): void {
  if (typeof state !== 'object' || state === null) throw refused('it is not an object');
  checkEqual('version', state.version, 1);
  checkEqual('blockSize', state.blockSize, blockBytes);
  checkEqual('capacitySectors', state.capacitySectors, capacitySectors);
  checkKind('blocks', state.blocks, 'Uint32Array');
  checkKind('data', state.data, 'Uint8Array');
  if (state.data.length % blockBytes !== 0) {
    throw refused(`data has ${state.data.length} bytes, which is no whole number of ${blockBytes}-byte blocks`);
  }
  const withData = state.data.length / blockBytes;
  if (withData > state.blocks.length) {
    throw refused(`data has ${withData} blocks, but blocks has only ${state.blocks.length} numbers`);
  }
  checkBlocks(state.blocks, withData, Math.ceil((capacitySectors * sectorBytes) / blockBytes));
}

function checkBlocks(blocks: Uint32Array, withData: number, end: number): void {
  for (let i = 0; i < blocks.length; i++) {
    if (blocks[i]! >= end) throw refused(`blocks[${i}] is ${blocks[i]}, but the disk has ${end} blocks`);
    if (i !== 0 && i !== withData && blocks[i]! <= blocks[i - 1]!) {
      throw refused(`blocks[${i}] is ${blocks[i]} after ${blocks[i - 1]}, which is not ascending`);
    }
  }
  let data = 0;
  for (let i = withData; i < blocks.length; i++) {
    while (data < withData && blocks[data]! < blocks[i]!) data++;
    if (data < withData && blocks[data] === blocks[i]) throw refused(`block ${blocks[i]} has data and reads as zeroes`);
  }
}

function checkEqual(name: string, given: unknown, expected: number): void {
  if (given !== expected) throw refused(`its ${name} is ${String(given)}, this disk's is ${expected}`);
}

function checkKind(name: string, value: unknown, kind: string): void {
  // By tag and not instanceof: the state may have been decoded in another realm.
  if (Object.prototype.toString.call(value) !== `[object ${kind}]`) throw refused(`its ${name} is no ${kind}`);
}

function refused(reason: string): StateError {
  return new StateError(`The overlay state does not fit: ${reason}. Restore it over the base that it was saved over`);
}
