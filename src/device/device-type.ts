import type { Chain } from '../queue/chain.ts';
import type { FeatureSet } from '../spec/features.ts';

/** One virtqueue of a device type. */
export interface QueueDescription {
  /** Entries, a power of two; the driver may make it smaller. */
  readonly maxSize: number;
  /**
   * `eager`: each buffer is handed to `process` as soon as it is available. `onDemand`: buffers wait in the ring until
   * the type has something for one and calls `port.take`; waiting buffers are not "being processed" and never delay a suspend.
   */
  readonly taking: 'eager' | 'onDemand';
}

/**
 * What a device type supplies: what to do with a chain. It never sees status bits, rings or notifications.
 *
 * Methods are called by one Device. A throw of ProtocolError puts the device into DEVICE_NEEDS_RESET; so does any other
 * error, which is then our own fault and says so.
 */
export interface DeviceType {
  readonly deviceId: number;
  /** The type's own feature bits that are offered (0 to 23, 41, 42 and 50 up). */
  readonly features: FeatureSet;
  readonly queues: readonly QueueDescription[];

  /** Called once, before anything else. */
  attach(port: DevicePort): void;

  /** The configuration space now; the length never changes. The device keeps no reference. */
  config(): Uint8Array;

  /** The driver writes `bytes` at `offset`, within the space. Fields that are not writable are ignored. */
  writeConfig?(offset: number, bytes: Uint8Array): void;

  /** Fields that a driver may write even while the device is suspended, where the standard asks for that. */
  alwaysWritable?(offset: number, length: number): boolean;

  /** Why a set of accepted features cannot be used; undefined when it can. */
  refuse?(features: FeatureSet): string | undefined;

  /** The driver's FEATURES_OK was granted: `features` were negotiated. The configuration space is read again after it. */
  negotiated?(features: FeatureSet): void;

  /**
   * A chain of an eager queue was taken. It is given back by `port.complete`, within this call or later. Nothing is to be
   * allocated for it in a fast device. A type with onDemand queues only needs none.
   */
  process?(queue: number, chain: Chain): void;

  /** There may be buffers in an onDemand queue. */
  available?(queue: number): void;

  /** The device was reset: what is still in flight is completed all the same (its chains are orphaned), but has no effect on the driver. */
  reset?(): void;

  /** Nothing is in flight any more: bring the back-end to rest. A rejection fails a suspend. */
  quiesce?(): void | Promise<void>;

  /** The opposite of `quiesce`. A rejection fails a resume. */
  wake?(): void | Promise<void>;

  /** The type's own state as plain JSON; called when the device is quiet. */
  save?(): unknown;

  /**
   * Takes over what `save` gave, in place of `negotiated`; throws StateError that says what differs, and changes nothing then.
   * `features` were negotiated, or none yet.
   */
  restore?(state: unknown, features: FeatureSet): void;
}

/** What a device type may ask of its device. */
export interface DevicePort {
  /** Hands a chain back with the number of bytes written to it, from its first device-writable byte on. */
  complete(queue: number, chain: Chain, written: number): void;

  /** The next buffer of an onDemand queue, or undefined: none is there, or the device takes none at present. */
  take(queue: number): Chain | undefined;

  /** Makes the last taken chain available again; it was not touched. */
  giveBack(queue: number, chain: Chain): void;

  /** The values of `config()` have changed. The driver is told, or will be when the device runs again. */
  configChanged(): void;

  /** The device cannot go on: DEVICE_NEEDS_RESET. */
  fail(error: Error): void;
}
