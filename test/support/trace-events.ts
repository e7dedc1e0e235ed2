import type { Restored, Role, Saved, TextVersion, TraceEvent, TraceHeader } from '../../src/monitor/trace.ts';
import type { AccessWidth } from '../../src/spec/access-width.ts';
import { Feature, type FeatureSet, featureSet } from '../../src/spec/features.ts';

/** Events of a trace in few letters, for traces that are written by hand. */

export const write = (value: number): TraceEvent => ({ kind: 'status.write', value });
export const read = (value: number): TraceEvent => ({ kind: 'status.read', value });
export const shown = (value: number): TraceEvent => ({ kind: 'status.shown', value });
export const kick = (queue = 0): TraceEvent => ({ kind: 'kick', queue });
export const enable = (queue = 0): TraceEvent => ({
  kind: 'queue.enable',
  queue,
  size: 8,
  descriptor: 0x1000,
  driver: 0x2000,
  device: 0x3000,
});
export const used = (queue?: number): TraceEvent => ({
  kind: 'interrupt',
  cause: 'used',
  ...(queue === undefined ? {} : { queue }),
});
export const changed: TraceEvent = { kind: 'config.changed' };
export const configInterrupt: TraceEvent = { kind: 'interrupt', cause: 'config' };
export const configRead = (offset: number, value: number, width: AccessWidth = 4): TraceEvent => ({
  kind: 'config.read',
  offset,
  width,
  value,
});
export const configWrite = (offset: number, value: number, width: AccessWidth = 4): TraceEvent => ({
  kind: 'config.write',
  offset,
  width,
  value,
});
export const generation = (value: number): TraceEvent => ({ kind: 'config.generation', value });
export const available = (id: number, queue = 0): TraceEvent => ({ kind: 'buffer.available', queue, id });
export const taken = (id: number, queue = 0): TraceEvent => ({ kind: 'buffer.taken', queue, id });
export const usedBuffer = (id: number, queue = 0): TraceEvent => ({ kind: 'buffer.used', queue, id, written: 0 });
/** What is in buffer 0 of queue 0 when it comes. */
export const inBuffer = (contents: { readonly table?: string; readonly head?: string }): TraceEvent => ({
  kind: 'buffer.contents',
  by: 'driver',
  queue: 0,
  id: 0,
  ...contents,
});
/** Words of 16 bits, as in memory. */
export const hex = (...words: number[]): string =>
  words
    .flatMap((word) => [word & 0xff, word >>> 8])
    .map((byte) => byte.toString(16).padStart(2, '0'))
    .join('');
export const touch = (by: Role, access: 'read' | 'write' = 'read'): TraceEvent => ({
  kind: 'memory',
  by,
  access,
  queue: 0,
  address: 0x1000,
  length: 16,
});
/** The device reads four bytes that belong to queue 0. */
export const deviceReads = (address: number): TraceEvent => ({
  kind: 'memory',
  by: 'device',
  access: 'read',
  queue: 0,
  address,
  length: 4,
});
export const queueReset = (queue = 0): TraceEvent => ({ kind: 'queue.reset', queue });
export const queueResetRead = (value: number, queue = 0): TraceEvent => ({ kind: 'queue.reset.read', queue, value });

function words(kind: 'features.device' | 'features.driver', set: FeatureSet): TraceEvent[] {
  return [0, 1, 2]
    .map((word) => ({ kind, word, bits: Number((set >> BigInt(32 * word)) & 0xffff_ffffn) }))
    .filter(({ word, bits }) => word < 2 || bits !== 0);
}

/** As a block device should, the one of these traces can flush. */
const FLUSH = 9;

/** What the device offers, besides VERSION_1 and FLUSH. */
export const offers = (...bits: number[]): TraceEvent[] =>
  words('features.device', featureSet(Feature.VERSION_1, FLUSH, ...bits));
/** What the driver accepts, besides VERSION_1. */
export const accepts = (...bits: number[]): TraceEvent[] =>
  words('features.driver', featureSet(Feature.VERSION_1, ...bits));

/** A trace that begins when both ends run, or with another status, with SUSPEND negotiated or what is said. */
export const goesOn = (status = 0x0f, ...bits: number[]): TraceEvent[] => [
  {
    kind: 'restored',
    status,
    features: featureSet(Feature.VERSION_1, ...(bits.length === 0 ? [Feature.SUSPEND] : bits)).toString(16),
  },
  read(status),
];

const NEGOTIATED = featureSet(Feature.VERSION_1, Feature.SUSPEND).toString(16);

/** A device is saved at rest, and goes on. */
export const saved = (over: Partial<Saved> = {}): TraceEvent => ({
  kind: 'saved',
  status: 0x1b,
  features: NEGOTIATED,
  ...over,
});
export const restored = (over: Partial<Restored> = {}): TraceEvent => ({
  kind: 'restored',
  status: 0x1b,
  features: NEGOTIATED,
  ...over,
});

/** From the reset to the last write before FEATURES_OK. */
export const chooses = (offered: readonly number[] = [], accepted: readonly number[] = offered): TraceEvent[] => [
  write(0),
  read(0),
  write(1),
  write(3),
  ...offers(...offered),
  ...accepts(...accepted),
];

/** A whole initialisation. */
export const starts = (...bits: number[]): TraceEvent[] => [
  ...chooses(bits),
  write(0x0b),
  read(0x0b),
  enable(),
  write(0x0f),
  read(0x0f),
];

/** The driver suspends a device that runs, without anything out. */
export const suspends: readonly TraceEvent[] = [write(0x1f), read(0x1b)];
export const resumes: readonly TraceEvent[] = [write(0x1f), read(0x0f)];

export const header = (over: Partial<TraceHeader> = {}): TraceHeader => ({
  trace: 'virtio',
  version: 1,
  transport: 'direct',
  device: 2,
  ...over,
});

/** The smallest traces that put one rule to the test. */
export interface RuleTraces {
  readonly pass: readonly TraceEvent[];
  readonly fail: readonly TraceEvent[];
  /** Other ways to keep it, as far as it is put to the test by them, and to break it. */
  readonly lawful?: readonly (readonly TraceEvent[])[];
  readonly alsoFail?: readonly (readonly TraceEvent[])[];
  readonly header?: Partial<TraceHeader>;
  /** The text that they are judged by; the standard, if not said. */
  readonly text?: TextVersion;
  /** Rules that are broken as well where this one is: as a rule the other end's, that had to do something wrong first. */
  readonly alongside?: readonly string[];
}

export type TracesByRule = Readonly<Record<string, RuleTraces>>;
