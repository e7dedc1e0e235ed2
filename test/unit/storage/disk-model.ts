import fc from 'fast-check';
import { expect } from 'vitest';
import type { Disk } from '../../../src/devices/block/disk.ts';
import {
  discardDisk,
  diskContents,
  flushDisk,
  readDisk,
  writeDisk,
  writeZeroesDisk,
} from '../../../src/storage/index.ts';

const environment: { readonly SEED?: string } = process.env;

/** The seed of every property test here. Set SEED to try others. */
export const seed: number = Number(environment.SEED ?? 20260701);

export interface DiskUnderTest {
  readonly disk: Disk;
  /** Missing where a disk cannot be resized. */
  readonly resize?: (capacitySectors: number) => Promise<void> | void;
  readonly dispose: () => Promise<void> | void;
}

/** Where and how much as fractions, because a resize changes what there is. */
export interface Step {
  readonly kind: 'read' | 'write' | 'flush' | 'discard' | 'writeZeroes' | 'resize';
  readonly place: number;
  readonly sectors: number;
  readonly mayUnmap: boolean;
}

export const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.record({
    kind: fc.constantFrom<Step['kind']>(
      'read',
      'read',
      'write',
      'write',
      'write',
      'flush',
      'discard',
      'writeZeroes',
      'resize',
    ),
    place: fc.integer({ min: 0, max: 255 }),
    sectors: fc.oneof(fc.constantFrom(1, 8, 16), fc.integer({ min: 1, max: 40 })),
    mayUnmap: fc.boolean(),
  }),
  { minLength: 1, maxLength: 60 },
);

/** Bytes that tell where and when they were written. */
export function pattern(length: number, stamp: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => 1 + ((i * 7 + Math.floor(i / 512) * 13 + stamp * 31) % 255));
}

export async function contentsOf(disk: Disk): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for await (const part of diskContents(disk, 8192)) parts.push(part);
  return Buffer.concat(parts);
}

interface Running {
  readonly start: number;
  readonly end: number;
  readonly changes: boolean;
  readonly done: Promise<void>;
}

/**
 * Does the steps on the disk and on an array, and compares every read and finally everything. Steps that touch the
 * same bytes, and of which one changes them, come one after the other; all others are in flight together.
 */
export async function runSteps(tested: DiskUnderTest, plan: readonly Step[]): Promise<void> {
  const { disk } = tested;
  let model = await contentsOf(disk);
  let running: Running[] = [];
  for (const [stamp, step] of plan.entries()) {
    if (step.kind === 'resize') {
      if (tested.resize === undefined) continue;
      await Promise.all(running.map(({ done }) => done));
      running = [];
      model = resized(model, 512 * (16 + ((step.place * 7 + step.sectors) % 240)));
      await tested.resize(model.length / 512);
      expect(disk.capacitySectors).toBe(model.length / 512);
      continue;
    }
    const capacity = model.length / 512;
    const first = step.place % capacity;
    const start = first * 512;
    const end = step.kind === 'flush' ? start : 512 * Math.min(first + step.sectors, capacity);
    const changes = step.kind !== 'read' && step.kind !== 'flush';
    const conflicts = running.filter((other) => other.start < end && start < other.end && (changes || other.changes));
    await Promise.all(conflicts.map(({ done }) => done));
    running = running.filter((other) => !conflicts.includes(other));
    running.push({ start, end, changes, done: doStep(disk, model, step, start, end, stamp) });
  }
  await Promise.all(running.map(({ done }) => done));
  expectSame(await contentsOf(disk), model, 'at the end');
}

function doStep(disk: Disk, model: Uint8Array, step: Step, start: number, end: number, stamp: number): Promise<void> {
  switch (step.kind) {
    case 'read': {
      const expected = model.slice(start, end);
      return readDisk(disk, start, end - start).then((bytes) => expectSame(bytes, expected, `step ${stamp}`));
    }
    case 'write': {
      const bytes = pattern(end - start, stamp);
      model.set(bytes, start);
      return writeDisk(disk, start, bytes);
    }
    case 'discard':
      model.fill(0, start, end);
      return discardDisk(disk, start, end - start);
    case 'writeZeroes':
      model.fill(0, start, end);
      return writeZeroesDisk(disk, start, end - start, { mayUnmap: step.mayUnmap });
    default:
      return flushDisk(disk);
  }
}

function resized(bytes: Uint8Array, length: number): Uint8Array {
  const result = new Uint8Array(length);
  result.set(bytes.subarray(0, length));
  return result;
}

/** Says where two arrays differ first; printing both says nothing. */
export function expectSame(actual: Uint8Array, expected: Uint8Array, where: string): void {
  expect(actual.length, where).toBe(expected.length);
  if (Buffer.compare(actual, expected) === 0) return;
  const at = actual.findIndex((byte, i) => byte !== expected[i]);
  expect.fail(`${where}: byte ${at} (sector ${Math.floor(at / 512)}) is ${actual[at]}, not ${expected[at]}`);
}
