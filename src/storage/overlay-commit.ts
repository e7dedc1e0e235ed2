import type { Disk } from '../devices/block/disk.ts';
import { blockBytes, zeroBlock } from './block-bytes.ts';
import { flushDisk, writeDisk, writeZeroesDisk } from './direct-request.ts';

/** Blocks of one write: 1 MiB. */
const runBlocks = 256;

/** Writes blocks with data and blocks of zeroes to `into`, nothing beyond `endBytes`, and flushes it. */
export async function commitBlocks(
  blocks: ReadonlyMap<number, Uint8Array>,
  zeroes: Iterable<number>,
  endBytes: number,
  into: Disk,
): Promise<void> {
  for (const run of runs([...blocks.keys()].sort((a, b) => a - b))) {
    const bytes = new Uint8Array(run.count * blockBytes);
    // A block that has gone since was zeroed by a request during the commit, which the caller finds out afterwards.
    for (let i = 0; i < run.count; i++) bytes.set(blocks.get(run.first + i) ?? zeroBlock, i * blockBytes);
    const position = run.first * blockBytes;
    await writeDisk(into, position, bytes.subarray(0, Math.min(bytes.length, endBytes - position)));
  }
  for (const run of runs([...zeroes])) {
    const position = run.first * blockBytes;
    const length = Math.min(run.count * blockBytes, endBytes - position);
    if (into.supports.writeZeroes) await writeZeroesDisk(into, position, length, { mayUnmap: true });
    else await writeDisk(into, position, new Uint8Array(length));
  }
  await flushDisk(into);
}

interface Run {
  readonly first: number;
  readonly count: number;
}

/** Neighbours of an ascending list taken together, at most `runBlocks` of them. */
function* runs(blocks: readonly number[]): Generator<Run, void> {
  let first = 0;
  for (let i = 1; i <= blocks.length; i++) {
    const goesOn = i < blocks.length && blocks[i] === blocks[i - 1]! + 1 && i - first < runBlocks;
    if (goesOn) continue;
    yield { first: blocks[first]!, count: i - first };
    first = i;
  }
}
