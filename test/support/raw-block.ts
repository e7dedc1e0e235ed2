import { Device } from '../../src/device/device.ts';
import type { DeviceOptions } from '../../src/device/device-options.ts';
import type { DeviceType } from '../../src/device/device-type.ts';
import { BlockDevice, type BlockDeviceOptions } from '../../src/devices/block/device.ts';
import type { Disk } from '../../src/devices/block/disk.ts';
import { BlockHeader, BlockRange } from '../../src/devices/block/layout.ts';
import { GuestMemory } from '../../src/memory/guest-memory.ts';
import type { FeatureSet } from '../../src/spec/features.ts';
import { NEXT, RawQueue, startDevice, WRITE } from './raw-queue.ts';
import { watch } from './rig.ts';

/** A block request as bytes, divided over descriptors as the test likes. */
export interface RawRequest {
  readonly type: number;
  readonly sector?: number | bigint;
  /** Device-readable bytes behind the header. */
  readonly out?: Uint8Array;
  /** Device-writable bytes before the status. */
  readonly room?: number;
  /** Where the two parts are cut, as positions in them. */
  readonly cuts?: { readonly readable?: readonly number[]; readonly writable?: readonly number[] };
  readonly queue?: number;
}

export interface RawAnswer {
  readonly status: number;
  /** The used length. */
  readonly written: number;
  readonly data: Uint8Array;
}

export interface PendingRequest {
  /** Undefined as long as the device has not used the buffer. Throws when something beside it was written. */
  answer(): RawAnswer | undefined;
}

export interface RawBlockOptions {
  readonly block?: BlockDeviceOptions;
  readonly device?: DeviceOptions;
  /** Puts something around the device type. */
  readonly wrap?: (type: DeviceType) => DeviceType;
  /** All that the device offers by default. */
  readonly accept?: (offered: FeatureSet) => FeatureSet;
}

const QUEUE_SIZE = 256;
/** Requests that can be out in each queue, the descriptors that each may have, and the memory that it has for itself. */
const SLOTS = 16;
const DESCRIPTORS = QUEUE_SIZE / SLOTS;
const SLOT_BYTES = 0x8000;
const QUEUE_BYTES = 0x4000;
const POISON = 0xa5;

/** A block device whose driver is the test: it writes every request by hand and looks at every byte of the answer. */
export class RawBlock {
  readonly memory: GuestMemory;
  readonly device: Device;
  readonly events: string[];
  readonly queues: RawQueue[] = [];
  readonly #options: RawBlockOptions;
  /** Per queue: used entries by head, as far as they were looked at. */
  readonly #used: { seen: number; readonly lengths: Map<number, number> }[] = [];
  readonly #next: number[] = [];

  constructor(disk: Disk, options: RawBlockOptions = {}) {
    const count = options.block?.queues ?? 1;
    this.memory = GuestMemory.over(new Uint8Array(count * (QUEUE_BYTES + SLOTS * SLOT_BYTES)).fill(POISON));
    const { wrap = (type) => type } = options;
    this.device = new Device(wrap(new BlockDevice(disk, options.block)), this.memory, options.device);
    this.events = watch(this.device);
    this.#options = options;
    this.start();
  }

  /** Sets the device up, from a reset one. What was out before is forgotten. */
  start(): void {
    const { accept = (offered) => offered } = this.#options;
    const count = this.device.queues.length;
    this.queues.length = this.#used.length = this.#next.length = 0;
    for (let index = 0; index < count; index++) {
      this.memory.regions[0]!.bytes.fill(0, index * QUEUE_BYTES, (index + 1) * QUEUE_BYTES);
      this.queues.push(new RawQueue(this.memory, QUEUE_SIZE, index * QUEUE_BYTES));
      this.#used.push({ seen: 0, lengths: new Map() });
      this.#next.push(0);
    }
    startDevice(this.device, this.queues, accept(this.device.offered));
  }

  /** Sends a request that the device answers at once. */
  send(request: RawRequest): RawAnswer {
    const answer = this.submit(request).answer();
    if (answer === undefined) throw new Error(`the device did not use the buffer; it shows ${this.device.status}`);
    return answer;
  }

  submit(request: RawRequest): PendingRequest {
    const index = request.queue ?? 0;
    const slot = this.#next[index]!;
    this.#next[index] = (slot + 1) % SLOTS;
    const queue = this.queues[index]!;
    const base = this.queues.length * QUEUE_BYTES + (index * SLOTS + slot) * SLOT_BYTES;
    const { bytes, view } = this.memory.regions[0]!;
    const out = request.out ?? new Uint8Array(0);
    const writable = (request.room ?? 0) + 1;
    const readableAt = base + 5;
    const writableAt = readableAt + BlockHeader.BYTES + out.length + 7;
    bytes.fill(POISON, base, base + SLOT_BYTES);
    view.setUint32(readableAt + BlockHeader.TYPE, request.type, true);
    view.setUint32(readableAt + 4, 0x5eed, true);
    view.setBigUint64(readableAt + BlockHeader.SECTOR, BigInt(request.sector ?? 0), true);
    bytes.set(out, readableAt + BlockHeader.BYTES);
    const pieces = [
      ...cut(readableAt, BlockHeader.BYTES + out.length, request.cuts?.readable, 0),
      ...cut(writableAt, writable, request.cuts?.writable, WRITE),
    ];
    if (pieces.length > DESCRIPTORS) throw new Error(`${pieces.length} descriptors are too many for this test`);
    const head = slot * DESCRIPTORS;
    for (const [n, piece] of pieces.entries()) {
      const last = n === pieces.length - 1;
      queue.descriptor(head + n, { ...piece, flags: piece.flags | (last ? 0 : NEXT), next: last ? 0 : head + n + 1 });
    }
    const before = bytes.slice(base, base + SLOT_BYTES);
    this.#used[index]!.lengths.delete(head);
    queue.offer(head);
    this.device.kick(index);
    const end = writableAt + writable;
    return {
      answer: () => {
        const written = this.#usedLength(index, head);
        const now = bytes.slice(base, base + SLOT_BYTES);
        now.set(before.subarray(writableAt - base, end - base), writableAt - base);
        if (Buffer.compare(now, before) !== 0) throw new Error('the device wrote beside its buffer');
        if (written === undefined) return undefined;
        return { status: bytes[end - 1]!, written, data: bytes.slice(writableAt, end - 1) };
      },
    };
  }

  #usedLength(index: number, head: number): number | undefined {
    const used = this.#used[index]!;
    const queue = this.queues[index]!;
    for (; used.seen !== queue.usedIndex; used.seen = (used.seen + 1) & 0xffff) {
      const { id, length } = queue.used(used.seen);
      used.lengths.set(id, length);
    }
    return used.lengths.get(head);
  }
}

function cut(
  address: number,
  length: number,
  at: readonly number[] = [],
  flags: number,
): { address: number; length: number; flags: number }[] {
  const ends = [...new Set(at.filter((position) => position > 0 && position < length)), length].sort((a, b) => a - b);
  return ends.map((end, n) => {
    const start = ends[n - 1] ?? 0;
    return { address: address + start, length: end - start, flags };
  });
}

/** Segments of a discard or write zeroes request. */
export function ranges(
  ...segments: readonly { readonly sector: number | bigint; readonly sectors: number; readonly flags?: number }[]
): Uint8Array {
  const bytes = new Uint8Array(segments.length * BlockRange.BYTES);
  const view = new DataView(bytes.buffer);
  for (const [n, { sector, sectors, flags = 0 }] of segments.entries()) {
    view.setBigUint64(n * BlockRange.BYTES + BlockRange.SECTOR, BigInt(sector), true);
    view.setUint32(n * BlockRange.BYTES + BlockRange.NUM_SECTORS, sectors, true);
    view.setUint32(n * BlockRange.BYTES + BlockRange.FLAGS, flags, true);
  }
  return bytes;
}
