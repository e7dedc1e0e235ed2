import type { DriverTransport } from '../../src/driver/transport.ts';
import { GuestAllocator } from '../../src/memory/allocator.ts';
import type { GuestMemory } from '../../src/memory/guest-memory.ts';
import { BufferList } from '../../src/queue/buffer-list.ts';
import { SplitDriverQueue } from '../../src/queue/split-driver-queue.ts';
import { Feature, featureSet } from '../../src/spec/features.ts';
import { Status } from '../../src/spec/status.ts';
import { TwinConfig, type TwinDevice } from './twin-device.ts';

const { DRIVER_OK, SUSPEND, DEVICE_NEEDS_RESET, FAILED } = Status;

/** What a twin does wrong. Some faults of a device show only when its driver does something wrong, too. */
export type DriverFault =
  | 'suspends without negotiation'
  | 'suspends before DRIVER_OK'
  | 'does not read the status'
  | 'offers buffers while suspended'
  | 'kicks while suspended'
  | 'writes configuration while suspended'
  | 'does not wait for the resume'
  | 'waits for an equal byte'
  | 'asks again while it waits for the resume';

const MOST_READS = 5;

/**
 * A whole life of a device, by a driver that is lawful but for one fault: requests before, over and after a suspend, with a
 * change of the configuration in it. `transport` leads to `device`, past a recorder.
 */
export class TwinDriver {
  /** Called when the device runs again, before the driver does anything. */
  onResumed: () => Promise<void> = async () => {};
  readonly #transport: DriverTransport;
  readonly #device: TwinDevice;
  readonly #fault: DriverFault | undefined;
  readonly #queue: SplitDriverQueue;
  readonly #buffer: BufferList;

  constructor(transport: DriverTransport, device: TwinDevice, memory: GuestMemory, fault?: DriverFault) {
    const allocator = new GuestAllocator(memory, 0x1000, 0x3000);
    this.#transport = transport;
    this.#device = device;
    this.#fault = fault;
    this.#queue = new SplitDriverQueue(allocator, 8, { indirect: false, eventIdx: false });
    this.#buffer = new BufferList().addReadable(allocator.allocate(16).address, 16);
  }

  async live(): Promise<void> {
    await this.#initialize();
    this.#offer();
    this.#transport.kick(0);
    this.#device.holds = true;
    this.#offer();
    this.#transport.kick(0);
    // For the device to find after the resume.
    this.#offer();
    await this.#readConfig();
    await this.#suspend();
    await this.#atRest();
    await this.#resume();
    await this.onResumed();
    this.#device.holds = false;
    this.#offer();
    this.#transport.kick(0);
    await this.#readConfig();
    await this.#reset();
  }

  async #initialize(): Promise<void> {
    await this.#reset();
    this.#write(0x01);
    this.#write(0x03);
    const offered = await this.#transport.readFeatures();
    const wanted = this.#is('suspends without negotiation') ? 0n : featureSet(Feature.SUSPEND);
    await this.#transport.writeFeatures(offered & (wanted | featureSet(Feature.VERSION_1)));
    this.#write(0x0b);
    await this.#transport.readStatus();
    if (this.#is('suspends before DRIVER_OK')) {
      this.#write(0x1b);
      await this.#transport.readStatus();
      return this.#initializeAgain();
    }
    await this.#start();
  }

  /** What became of the first life does not matter. */
  async #initializeAgain(): Promise<void> {
    await this.#reset();
    this.#write(0x01);
    this.#write(0x03);
    await this.#transport.writeFeatures(featureSet(Feature.SUSPEND, Feature.VERSION_1));
    this.#write(0x0b);
    await this.#transport.readStatus();
    await this.#start();
  }

  async #start(): Promise<void> {
    await this.#transport.enableQueue(0, this.#queue.layout);
    this.#write(0x0f);
    await this.#transport.readStatus();
  }

  async #suspend(): Promise<void> {
    this.#write(0x1f);
    if (this.#is('does not read the status') || this.#is('suspends without negotiation')) return;
    await this.#waitFor(SUSPEND);
  }

  async #atRest(): Promise<void> {
    if (this.#is('offers buffers while suspended')) this.#offer();
    if (this.#is('kicks while suspended')) this.#transport.kick(0);
    if (this.#is('writes configuration while suspended')) await this.#transport.writeConfig(TwinConfig.KNOB, 1, 7);
    await this.#readConfig();
    this.#device.change(2);
    await this.#readConfig();
  }

  async #resume(): Promise<void> {
    if (this.#is('suspends without negotiation')) {
      await this.#transport.readStatus();
      return;
    }
    this.#write(0x1f);
    if (this.#is('does not wait for the resume')) this.#transport.kick(0);
    if (this.#is('asks again while it waits for the resume')) this.#write(0x1f);
    await this.#waitFor(DRIVER_OK);
  }

  async #reset(): Promise<void> {
    this.#write(0);
    await this.#transport.readStatus();
  }

  /** Gives the device up when it does not come to show a pair of bits. */
  async #waitFor(pair: number): Promise<void> {
    for (let n = 0; n < MOST_READS; n++) {
      const status = await this.#transport.readStatus();
      const isReached = this.#is('waits for an equal byte')
        ? status === 0x1f
        : (status & (SUSPEND | DRIVER_OK)) === pair;
      if ((status & DEVICE_NEEDS_RESET) !== 0) break;
      if (isReached) return;
    }
    this.#write(0x1f | FAILED);
    await this.#reset();
    throw new GivenUp();
  }

  async #readConfig(): Promise<void> {
    await this.#transport.readConfig(TwinConfig.VALUE, 4);
    await this.#transport.readConfig(TwinConfig.KNOB, 1);
  }

  #offer(): void {
    this.#queue.offer(this.#buffer);
    this.#queue.expose();
  }

  #write(status: number): void {
    this.#transport.writeStatus(status);
  }

  #is(fault: DriverFault): boolean {
    return this.#fault === fault;
  }
}

/** The driver has given its device up. */
export class GivenUp extends Error {}
