import type { Device } from '../../src/device/device.ts';
import type { GuestMemory } from '../../src/memory/guest-memory.ts';
import type { QueueLayout } from '../../src/queue/device-queue.ts';
import { Feature, type FeatureSet, featureSet } from '../../src/spec/features.ts';
import { Available, Descriptor, DescriptorFlag, splitAreas, Used } from '../../src/spec/split-ring.ts';

export interface RawDescriptor {
  /** May be beyond 2^53. */
  readonly address: number | bigint;
  readonly length: number;
  readonly flags?: number;
  readonly next?: number;
}

export const { NEXT, WRITE, INDIRECT } = DescriptorFlag;

/** A split virtqueue that a test writes by hand, as only a driver that lies would. Nothing is checked. */
export class RawQueue {
  /** May be replaced, as by that of a driver end whose device the test is. */
  layout: QueueLayout;
  readonly memory: GuestMemory;
  /** First address behind the three areas. */
  readonly end: number;

  /** Lays the areas out from `base` on, which is aligned to 16. */
  constructor(memory: GuestMemory, size: number, base: number) {
    const bytes = splitAreas(size);
    const driverArea = base + bytes.descriptor;
    const deviceArea = Math.ceil((driverArea + bytes.driver) / 4) * 4;
    this.layout = { size, descriptorArea: base, driverArea, deviceArea };
    this.memory = memory;
    this.end = Math.ceil((deviceArea + bytes.device) / 16) * 16;
  }

  descriptor(index: number, { address, length, flags = 0, next = 0 }: RawDescriptor): this {
    return this.entry(this.layout.descriptorArea, index, { address, length, flags, next });
  }

  /** A descriptor of a table anywhere. */
  entry(table: number, index: number, { address, length, flags = 0, next = 0 }: RawDescriptor): this {
    const { view, at } = this.#locate(table + Descriptor.SIZE * index, Descriptor.SIZE);
    view.setBigUint64(at, BigInt(address), true);
    view.setUint32(at + Descriptor.LENGTH, length, true);
    view.setUint16(at + Descriptor.FLAGS, flags, true);
    view.setUint16(at + Descriptor.NEXT, next, true);
    return this;
  }

  /** Puts `head` into the available ring and moves the index on. */
  offer(head: number): this {
    const index = this.availableIndex;
    this.setRing(index, head);
    this.availableIndex = index + 1;
    return this;
  }

  setRing(position: number, head: number): void {
    const slot = position & (this.layout.size - 1);
    this.#setU16(this.layout.driverArea + Available.RING + Available.ENTRY_SIZE * slot, head);
  }

  get availableIndex(): number {
    return this.#u16(this.layout.driverArea + Available.INDEX);
  }

  set availableIndex(value: number) {
    this.#setU16(this.layout.driverArea + Available.INDEX, value);
  }

  set availableFlags(value: number) {
    this.#setU16(this.layout.driverArea + Available.FLAGS, value);
  }

  get usedEvent(): number {
    return this.#u16(this.layout.driverArea + Available.RING + Available.ENTRY_SIZE * this.layout.size);
  }

  set usedEvent(value: number) {
    this.#setU16(this.layout.driverArea + Available.RING + Available.ENTRY_SIZE * this.layout.size, value);
  }

  get usedIndex(): number {
    return this.#u16(this.layout.deviceArea + Used.INDEX);
  }

  set usedIndex(value: number) {
    this.#setU16(this.layout.deviceArea + Used.INDEX, value);
  }

  get usedFlags(): number {
    return this.#u16(this.layout.deviceArea + Used.FLAGS);
  }

  set usedFlags(value: number) {
    this.#setU16(this.layout.deviceArea + Used.FLAGS, value);
  }

  get availableEvent(): number {
    return this.#u16(this.layout.deviceArea + Used.RING + Used.ENTRY_SIZE * this.layout.size);
  }

  set availableEvent(value: number) {
    this.#setU16(this.layout.deviceArea + Used.RING + Used.ENTRY_SIZE * this.layout.size, value);
  }

  /** The entry of the used ring at a free-running position. */
  used(position: number): { id: number; length: number } {
    const { view, at } = this.#usedEntry(position);
    return { id: view.getUint32(at, true), length: view.getUint32(at + 4, true) };
  }

  setUsed(position: number, id: number, length: number): void {
    const { view, at } = this.#usedEntry(position);
    view.setUint32(at, id, true);
    view.setUint32(at + 4, length, true);
  }

  #usedEntry(position: number): { view: DataView; at: number } {
    const slot = position & (this.layout.size - 1);
    return this.#locate(this.layout.deviceArea + Used.RING + Used.ENTRY_SIZE * slot, Used.ENTRY_SIZE);
  }

  #u16(address: number): number {
    const { view, at } = this.#locate(address, 2);
    return view.getUint16(at, true);
  }

  #setU16(address: number, value: number): void {
    const { view, at } = this.#locate(address, 2);
    view.setUint16(at, value & 0xffff, true);
  }

  #locate(address: number, length: number): { view: DataView; at: number } {
    const region = this.memory.find(address, length);
    if (region === undefined) throw new Error(`the test writes outside of memory, at ${address}`);
    return { view: region.view, at: address - region.address };
  }
}

/** Brings a device up to DRIVER_OK through its registers, without a driver. */
export function startDevice(
  device: Device,
  queues: readonly RawQueue[],
  features: FeatureSet = featureSet(Feature.VERSION_1, Feature.INDIRECT_DESC),
): void {
  device.writeStatus(0x01);
  device.writeStatus(0x03);
  for (let word = 0; word < 2; word++) {
    device.writeFeatures(word, Number((features >> BigInt(32 * word)) & 0xffff_ffffn));
  }
  device.writeStatus(0x0b);
  for (const [index, queue] of queues.entries()) {
    device.configureQueue(index, (slot) => Object.assign(slot, queue.layout));
    device.enableQueue(index);
  }
  device.writeStatus(0x0f);
}
