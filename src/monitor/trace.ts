import type { AccessWidth } from '../spec/access-width.ts';

/** Which of the two texts a trace is judged by: the patch of May 2025 that brought SUSPEND, or the standard that has it. */
export type TextVersion = 'v1' | '1.4';

/** How the two ends were connected. `direct` has no registers: function calls, or messages of their own. */
export type TraceTransport = 'direct' | 'pci' | 'mmio';

/** The first line of a trace. */
export interface TraceHeader {
  readonly trace: 'virtio';
  /** Of the format: 1. */
  readonly version: number;
  readonly transport: TraceTransport;
  /** Virtio device id (§5). */
  readonly device: number;
  readonly text?: TextVersion | undefined;
  /** Who recorded what, for people. */
  readonly title?: string | undefined;
}

/** Which structure of a PCI function an access goes to (§4.1.4); `space` is its configuration space. */
export type PciStructureName = 'common' | 'notify' | 'isr' | 'device' | 'space';

/** Whose doing: the device's or the driver's. */
export type Role = 'device' | 'driver';

interface Event<Kind extends string> {
  readonly kind: Kind;
  /** Microseconds since the trace began. */
  readonly time?: number | undefined;
}

interface StatusEvent<Kind extends string> extends Event<Kind> {
  /** The whole byte. */
  readonly value: number;
}

/** 32 bits of a feature set, from bit 32 * `word` on. */
interface FeaturesEvent<Kind extends string> extends Event<Kind> {
  readonly word: number;
  readonly bits: number;
}

interface ConfigEvent<Kind extends string> extends Event<Kind> {
  readonly offset: number;
  readonly width: AccessWidth;
  readonly value: number;
}

interface QueueEvent<Kind extends string> extends Event<Kind> {
  readonly queue: number;
}

interface RegisterEvent<Kind extends string> extends Event<Kind> {
  readonly access: 'read' | 'write';
  readonly offset: number;
  readonly width: number;
  readonly value: number;
}

/** The driver writes the status; comes before what the device does about it. */
export type StatusWrite = StatusEvent<'status.write'>;
/** The driver reads the status. */
export type StatusRead = StatusEvent<'status.read'>;
/** From now on the device shows another status, whether or not somebody reads it. Only recorders at the device know. */
export type StatusShown = StatusEvent<'status.shown'>;
/** The driver sees what the device offers. */
export type DeviceFeatures = FeaturesEvent<'features.device'>;
/** The driver writes what it accepts. */
export type DriverFeatures = FeaturesEvent<'features.driver'>;
/** The driver reads a field of the device's configuration space. */
export type ConfigRead = ConfigEvent<'config.read'>;
export type ConfigWrite = ConfigEvent<'config.write'>;
/** The driver reads the configuration generation. */
export type ConfigGeneration = StatusEvent<'config.generation'>;
/** What the configuration space says has changed behind the device: the disk was resized. Only recorders at the device know. */
export type ConfigChanged = Event<'config.changed'>;

/** The driver enables a queue. A field is left out when the driver has not set it since the last reset of queue or device. */
export interface QueueEnable extends QueueEvent<'queue.enable'> {
  readonly size?: number | undefined;
  /** Guest-physical addresses of the three areas. */
  readonly descriptor?: number | undefined;
  readonly driver?: number | undefined;
  readonly device?: number | undefined;
}
/** The driver asks for the reset of a queue (§2.6.1). */
export type QueueReset = QueueEvent<'queue.reset'>;
/** The driver reads whether that is under way: 1 while it is. */
export interface QueueResetRead extends QueueEvent<'queue.reset.read'> {
  readonly value: number;
}
/** An available buffer notification (§2.3). */
export type Kick = QueueEvent<'kick'>;

/** A notification by the device. A used buffer notification of a line that queues share says no queue. */
export interface Interrupt extends Event<'interrupt'> {
  readonly cause: 'used' | 'config';
  readonly queue?: number | undefined;
}

/** A message of MSI-X arrives (§4.1.5.1), by a vector. Only recorders that hand messages to the driver know. */
export interface Message extends Event<'message'> {
  readonly vector: number;
}

/** The driver makes a buffer available, with so many bytes to read and to write. `id` names it until it is used. */
export interface BufferAvailable extends QueueEvent<'buffer.available'> {
  readonly id: number;
  readonly readable?: number | undefined;
  readonly writable?: number | undefined;
  /** Where its first descriptor is in a packed ring. */
  readonly at?: number | undefined;
}
/** The device begins to process a buffer. Only recorders at the device know. */
export interface BufferTaken extends QueueEvent<'buffer.taken'> {
  readonly id: number;
}
/** The device hands a buffer back, with `written` bytes in it. */
export interface BufferUsed extends QueueEvent<'buffer.used'> {
  readonly id: number;
  readonly written: number;
  /** In a packed ring: whether a flag says that the length means something. */
  readonly flagged?: boolean | undefined;
}

/**
 * What the memory of a buffer holds when one end hands it to the other; comes before the write to the ring that does so. Bytes in
 * hexadecimal, no more than the recorder cares to keep.
 */
export interface BufferContents extends QueueEvent<'buffer.contents'> {
  /** Who hands it over. */
  readonly by: Role;
  readonly id: number;
  /** The driver's indirect table, from its start. */
  readonly table?: string | undefined;
  /** From the driver the first bytes that the device may read; from the device the first ones that it may write. */
  readonly head?: string | undefined;
  /** From the device: the last bytes that it may write. */
  readonly tail?: string | undefined;
}

/** Someone reads or writes the memory of a queue, at a guest-physical address. Bytes in hexadecimal where they are known. */
export interface MemoryAccess extends Event<'memory'> {
  readonly by: Role;
  readonly access: 'read' | 'write';
  readonly queue: number;
  readonly address: number;
  readonly length: number;
  readonly bytes?: string | undefined;
}

/** An access to a register of virtio over MMIO (§4.2.2), `offset` in the device's window. */
export type MmioAccess = RegisterEvent<'mmio'>;
/** An access to a structure of a PCI function (§4.1.4), `offset` in that structure. */
export interface PciAccess extends RegisterEvent<'pci'> {
  readonly structure: PciStructureName;
}

/**
 * How far a device has come in a queue: what it will take next, and use next. Free-running indices of a split ring; in a packed
 * one bit 15 is the wrap counter.
 */
export interface QueuePositions {
  readonly queue: number;
  readonly available: number;
  readonly used: number;
}
interface StateEvent<Kind extends string> extends Event<Kind> {
  readonly status: number;
  /** What was negotiated, in hexadecimal. */
  readonly features: string;
  /** Held by its host, which the driver does not see. */
  readonly paused?: boolean | undefined;
  /** Of the queues that are in use. */
  readonly queues?: readonly QueuePositions[] | undefined;
}
/** The state of the device was saved. */
export type Saved = StateEvent<'saved'>;
/** A saved device goes on, here or elsewhere; or the trace begins in the middle of its life. */
export type Restored = StateEvent<'restored'>;

/** Everything that can happen between the two ends. */
export type TraceEvent =
  | StatusWrite
  | StatusRead
  | StatusShown
  | DeviceFeatures
  | DriverFeatures
  | ConfigRead
  | ConfigWrite
  | ConfigGeneration
  | ConfigChanged
  | QueueEnable
  | QueueReset
  | QueueResetRead
  | Kick
  | Interrupt
  | Message
  | BufferAvailable
  | BufferTaken
  | BufferUsed
  | BufferContents
  | MemoryAccess
  | MmioAccess
  | PciAccess
  | Saved
  | Restored;

/** An event and the line of the trace that it is in; what a judge derives from an access has the line of that access. */
export type Located<E = TraceEvent> = E & { readonly line: number };
