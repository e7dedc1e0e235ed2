/** Drivers of ours with one planted fault each, for what is run against whole drivers over any transport. */
import { BlockDriver } from '../../src/devices/block/driver.ts';
import { BlockConfig, BlockHeader, SECTOR_BYTES } from '../../src/devices/block/layout.ts';
import type { DriverTransport, Later } from '../../src/driver/transport.ts';
import type { GuestAllocator } from '../../src/memory/allocator.ts';
import { BufferList } from '../../src/queue/buffer-list.ts';
import { Feature, featureSet } from '../../src/spec/features.ts';
import { Status } from '../../src/spec/status.ts';
import type { DriverFault } from './twin-driver.ts';

const { DRIVER_OK, SUSPEND, FEATURES_OK, FAILED } = Status;

const RESTS = SUSPEND;
const RUNS = DRIVER_OK;

export function faultyDriver(fault: DriverFault): (...of: ConstructorParameters<typeof BlockDriver>) => BlockDriver {
  return (transport, allocator, options) => {
    const between = new FaultyTransport(transport, fault);
    const driver = new BlockDriver(between.faulty, allocator, options);
    between.offer = () => offerOne(driver, allocator);
    return driver;
  };
}

/** Makes a read of the first sector available, whatever the driver is about. */
function offerOne({ driver: { queues } }: BlockDriver, allocator: GuestAllocator): void {
  const header = allocator.allocate(BlockHeader.BYTES);
  const data = allocator.allocate(SECTOR_BYTES + 1);
  header.region.bytes.fill(0, header.offset, header.offset + header.length);
  const buffers = new BufferList()
    .addReadable(header.address, header.length)
    .addWritable(data.address, SECTOR_BYTES)
    .addWritable(data.address + SECTOR_BYTES, 1);
  const [queue] = queues;
  queue!.submit({ buffers, used: () => {}, lost: () => {} });
  queue!.letGo();
  queue!.hold();
}

/** What lies between a driver and its transport, and does one thing wrong. */
class FaultyTransport {
  readonly faulty: DriverTransport;
  /** Makes a buffer available. */
  offer: () => void = () => {};
  readonly #transport: DriverTransport;
  readonly #fault: DriverFault;
  /** What the status is said to be, past the device: for ever, or once. */
  #said: { readonly value: number; readonly often: 'always' | 'once' } | undefined;
  /** The request that the device has not been seen to have done. */
  #asked: 'to suspend' | 'to resume' | undefined;
  #swallows = false;

  constructor(transport: DriverTransport, fault: DriverFault) {
    this.#transport = transport;
    this.#fault = fault;
    const instead: Partial<DriverTransport> = {
      readStatus: () => this.#readStatus(),
      writeStatus: (value) => this.#writeStatus(value),
      writeFeatures: (set) => {
        const without = this.#is('suspends without negotiation') ? featureSet(Feature.SUSPEND) : 0n;
        return transport.writeFeatures(set & ~without);
      },
      kick: (queue, next) => {
        if (!this.#swallows) transport.kick(queue, next);
      },
    };
    this.faulty = new Proxy(transport, {
      get: (target, name) => {
        const value: unknown = (instead as Record<PropertyKey, unknown>)[name] ?? Reflect.get(target, name, target);
        return typeof value === 'function' ? value.bind(target) : value;
      },
      set: (target, name, value) => Reflect.set(target, name, value, target),
    });
  }

  #is(fault: DriverFault): boolean {
    return this.#fault === fault;
  }

  #writeStatus(value: number): Later<void> {
    const isEarly = this.#is('suspends before DRIVER_OK') && (value & (FEATURES_OK | DRIVER_OK)) === FEATURES_OK;
    const isRequest = value !== 0 && (value & FAILED) === 0 && (value & SUSPEND) !== 0;
    this.#said = undefined;
    // Of a running device both bits are asked for by the same value as of one that rests.
    this.#asked = !isRequest ? undefined : this.#rests ? 'to resume' : 'to suspend';
    this.#rests = false;
    const written = this.#transport.writeStatus(value);
    if (isEarly && value !== 0) return inTurn(written, () => this.#transport.writeStatus(value | SUSPEND));
    if (this.#asked === 'to resume' && this.#is('asks again while it waits for the resume'))
      return inTurn(written, () => this.#transport.writeStatus(value));
    if (this.#asked === 'to suspend' && this.#is('does not read the status'))
      this.#said = { value: 0x1b, often: 'always' };
    if (this.#asked === 'to resume' && this.#is('does not wait for the resume'))
      this.#said = { value: 0x0f, often: 'once' };
    if (this.#said !== undefined) this.#rests = this.#asked === 'to suspend';
    return written;
  }

  /** The driver believes that the device rests. */
  #rests = false;

  #readStatus(): Later<number> {
    if (this.#said !== undefined) {
      const { value, often } = this.#said;
      if (often === 'once') this.#said = undefined;
      return value;
    }
    return inTurn(this.#transport.readStatus(), (status) => this.#seen(status));
  }

  #seen(status: number): Later<number> {
    if (this.#asked !== 'to suspend' || (status & (SUSPEND | DRIVER_OK)) !== RESTS) return status;
    if (this.#is('waits for an equal byte')) return status | RUNS;
    this.#asked = undefined;
    this.#rests = true;
    return inTurn(this.#atRest(), () => status);
  }

  #atRest(): Later<void> {
    if (this.#is('kicks while suspended')) this.#transport.kick(0);
    if (this.#is('writes configuration while suspended'))
      return this.#transport.writeConfig(BlockConfig.WRITEBACK, 1, 1);
    if (!this.#is('offers buffers while suspended')) return;
    this.#swallows = true;
    this.offer();
    this.#swallows = false;
  }
}

function inTurn<T, U>(first: Later<T>, next: (value: T) => Later<U>): Later<U> {
  return first instanceof Promise ? first.then(next) : next(first);
}
