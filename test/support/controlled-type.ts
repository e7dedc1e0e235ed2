import type { DevicePort, DeviceType, QueueDescription } from '../../src/device/device-type.ts';
import type { Chain } from '../../src/queue/chain.ts';
import { StateError } from '../../src/spec/fault.ts';

/** Its configuration space: a value of 4 bytes, a byte that a driver may write, and one that it may write at any time. */
export const ControlledConfig = { VALUE: 0, KNOB: 4, URGENT: 5, BYTES: 8 } as const;

/** Its queues: two of requests, which are answered with their own number, and one of buffers that wait for events. */
export const REQUESTS = 0;
export const MORE_REQUESTS = 1;
export const EVENTS = 2;

/** What a back-end does with a job: at once, when told, or never, with an error. */
export type Manner = 'at once' | 'when told' | 'refuses';

export interface Step {
  readonly what: 'stop' | 'start';
  settle(error?: Error): void;
}

/** A device type that does everything at the moment that a test chooses. */
export class ControlledType implements DeviceType {
  readonly deviceId: number = 63;
  readonly features: bigint = 0n;
  readonly queues: readonly QueueDescription[];
  /** How requests are answered. */
  answering: 'at once' | 'when told' = 'at once';
  stopping: Manner = 'at once';
  starting: Manner = 'at once';
  /** Requests that wait for an answer, in their order. */
  readonly held: { readonly queue: number; readonly chain: Chain }[] = [];
  /** Stops and starts that wait to be settled. */
  readonly steps: Step[] = [];
  /** `take 0`, `stop`, `start`, `reset`, `urgent 7`. */
  readonly log: string[] = [];
  /** Called for each request before it is answered. */
  onRequest: (() => void) | undefined;
  /** Events that found no buffer. */
  waiting: number[] = [];
  value = 0;
  knob = 0;
  #port!: DevicePort;

  constructor(queueSize = 8) {
    this.queues = (['eager', 'eager', 'onDemand'] as const).map((taking) => ({ maxSize: queueSize, taking }));
  }

  get port(): DevicePort {
    return this.#port;
  }

  attach(port: DevicePort): void {
    this.#port = port;
  }

  config(): Uint8Array {
    const bytes = new Uint8Array(ControlledConfig.BYTES);
    new DataView(bytes.buffer).setUint32(ControlledConfig.VALUE, this.value, true);
    bytes[ControlledConfig.KNOB] = this.knob;
    return bytes;
  }

  writeConfig(offset: number, bytes: Uint8Array): void {
    if (offset === ControlledConfig.KNOB) this.knob = bytes[0]!;
    if (offset === ControlledConfig.URGENT) this.log.push(`urgent ${bytes[0]}`);
  }

  alwaysWritable(offset: number): boolean {
    return offset === ControlledConfig.URGENT;
  }

  process(queue: number, chain: Chain): void {
    this.log.push(`take ${queue}`);
    this.onRequest?.();
    if (this.answering === 'at once') this.#answer(queue, chain);
    else this.held.push({ queue, chain });
  }

  /** Answers a request that is held, the oldest unless told otherwise. */
  answer(which = 0): void {
    const [held] = this.held.splice(which, 1);
    if (held === undefined) throw new Error(`no request ${which} is held`);
    this.#answer(held.queue, held.chain);
  }

  answerAll(): void {
    while (this.held.length > 0) this.answer();
  }

  available(): void {
    while (this.waiting.length > 0) {
      const chain = this.#port.take(EVENTS);
      if (chain === undefined) return;
      writeU32(chain, this.waiting.shift()!);
      this.#port.complete(EVENTS, chain, 4);
    }
  }

  /** Something comes from outside, for a buffer of the event queue. */
  arrive(event: number): void {
    this.waiting.push(event);
    this.available();
  }

  change(value: number): void {
    this.value = value;
    this.#port.configChanged();
  }

  reset(): void {
    this.log.push('reset');
  }

  quiesce(): void | Promise<void> {
    return this.#step('stop', this.stopping);
  }

  wake(): void | Promise<void> {
    return this.#step('start', this.starting);
  }

  save(): unknown {
    return { value: this.value, knob: this.knob, waiting: this.waiting };
  }

  restore(state: unknown): void {
    const { value, knob, waiting } = (state ?? {}) as Partial<ControlledType>;
    if (value === undefined || knob === undefined || waiting === undefined) throw new StateError('not of this type');
    this.knob = knob;
    this.waiting = [...waiting];
  }

  #step(what: Step['what'], manner: Manner): void | Promise<void> {
    this.log.push(what);
    if (manner === 'at once') return;
    if (manner === 'refuses') throw new Error(`the back-end does not ${what}`);
    return new Promise((resolve, reject) => {
      this.steps.push({ what, settle: (error) => (error === undefined ? resolve() : reject(error)) });
    });
  }

  #answer(queue: number, chain: Chain): void {
    // A chain of a life before a reset is handed back like any other.
    if (chain.live) writeU32(chain, chain.readableBytes >= 4 ? chain.readU32(0) : 0);
    this.#port.complete(queue, chain, chain.live ? 4 : 0);
  }
}

function writeU32(chain: Chain, value: number): void {
  for (let i = 0; i < 4; i++) chain.writeU8(i, (value >>> (8 * i)) & 0xff);
}
