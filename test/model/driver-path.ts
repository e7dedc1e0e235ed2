import { Driver, type DriverState } from '../../src/driver/driver.ts';
import { GuestAllocator } from '../../src/memory/allocator.ts';
import { GuestMemory } from '../../src/memory/guest-memory.ts';
import { BufferList } from '../../src/queue/buffer-list.ts';
import { FakeClock, settle } from '../support/fake-clock.ts';
import { type Outcome, outcome } from '../support/outcome.ts';
import type { Action } from './actions.ts';
import { asText, compare } from './difference.ts';
import { waits } from './driver-end.ts';
import type { Walker } from './paths.ts';
import { type RingKind, SIZE } from './ring-memory.ts';
import { first, freeBuffer, type Phase, type Settings, type State } from './state.ts';
import { type Said, Step } from './step.ts';
import { ToldTransport } from './told-transport.ts';

const MEMORY_BYTES = 0x2000;
const LIMIT_MS = 10_000;
/** A driver that polls does so at least as often. */
const LONGEST_PAUSE_MS = 20;

/** One path of the model, which a real driver goes along: its device is the model's, and writes real rings by hand. */
export class DriverPath implements Walker {
  state: State = first();
  readonly #settings: Settings;
  readonly #clock = new FakeClock();
  readonly #allocator: GuestAllocator;
  readonly #transport: ToldTransport;
  readonly #driver: Driver;
  /** What the application has asked for last, and what was asked for before. */
  #asked: Outcome;
  readonly #askedBefore: Outcome[] = [];
  #hasBegun = false;

  constructor(settings: Settings, kind: RingKind) {
    const memory = GuestMemory.over(new Uint8Array(MEMORY_BYTES));
    this.#settings = settings;
    this.#allocator = new GuestAllocator(memory, 0x100, MEMORY_BYTES - 0x100);
    this.#transport = new ToldTransport(memory.regions[0]!.view, kind);
    const type = {
      deviceId: this.#transport.deviceId,
      features: 0n,
      queueCount: async () => 1,
      configChanged: () => this.#say('read config'),
    };
    this.#driver = new Driver(type, this.#transport, this.#allocator, { clock: this.#clock, queueSize: SIZE });
    this.#asked = this.#initialize();
  }

  async take(action: Action): Promise<void> {
    if (!this.#hasBegun) await this.#begin();
    const from = this.state;
    const step = new Step(from, this.#settings, undefined);
    action.run(step);
    const to = step.s;
    this.#transport.begin(step.said);
    await this.#act(action, from);
    await settle();
    for (let n = 0; n < 10 && !waits(to) && this.#transport.isRead; n++) {
      this.#transport.answer();
      await settle();
    }
    this.#transport.end();
    const inModel = asText(from.status, step.said.filter(isVisible));
    compare('what happened', inModel, asText(from.status, this.#transport.said.splice(0)));
    this.#compareStates(from, to);
    this.state = to;
  }

  /** Whatever was asked for before something else has come to an end. */
  async end(): Promise<void> {
    await this.#clock.advance(LONGEST_PAUSE_MS);
    this.#transport.begin([]);
    this.#transport.answer();
    await settle();
    for (const { value } of this.#askedBefore) compare('a promise is settled', true, value !== 'pending');
  }

  /** The model begins when the reset was written. */
  async #begin(): Promise<void> {
    this.#hasBegun = true;
    await settle();
    compare('what the driver does first', 'write 00', this.#transport.said.splice(0).join(', '));
  }

  #say(word: Said): void {
    this.#transport.said.push(word);
  }

  async #act({ name }: Action, from: State): Promise<void> {
    const driver = this.#driver;
    const does: Readonly<Record<string, () => void | Promise<void>>> = {
      submit: () => this.#submit(from),
      suspend: () => this.#ask(outcome(driver.suspend({ limitMs: LIMIT_MS }))),
      'submit and suspend': () => {
        this.#submit(from);
        this.#ask(outcome(driver.suspend({ limitMs: LIMIT_MS })));
      },
      resume: () => this.#ask(outcome(driver.resume({ limitMs: LIMIT_MS }))),
      'reset the queue': () => this.#ask(outcome(driver.resetQueue(0, { limitMs: LIMIT_MS }))),
      initialize: () => this.#ask(this.#initialize()),
      'initialize what is lost': () => this.#ask(this.#initialize()),
      'the used buffer interrupt arrives': () => this.#transport.onUsedBuffer?.(),
      'the change interrupt arrives': () => this.#transport.onConfigChange?.(),
      'the driver looks': () => this.#look(LONGEST_PAUSE_MS),
      'the driver does not wait for the reset any longer': () => this.#look(LIMIT_MS),
      'the driver gives up waiting': () => this.#look(LIMIT_MS),
    };
    await does[name]?.();
  }

  /** Time passes, and then its reads are answered, which it made before or makes now. */
  async #look(delayMs: number): Promise<void> {
    this.#transport.hold();
    await this.#clock.advance(delayMs);
    this.#transport.answer();
  }

  #initialize(): Outcome {
    const initialized = this.#driver.initialize();
    // A device type's own driver reads it then.
    initialized.then(
      () => this.#say('read config'),
      () => {},
    );
    return outcome(initialized);
  }

  #ask(asked: Outcome): void {
    this.#askedBefore.push(this.#asked);
    this.#asked = asked;
  }

  #submit(from: State): void {
    const letter = freeBuffer(from, this.#settings)!;
    const slice = this.#allocator.allocate(1);
    slice.region.bytes[slice.offset] = letter.charCodeAt(0);
    const buffers = new BufferList();
    buffers.addReadable(slice.address, 1);
    const ends = (word: Said): void => {
      this.#say(word);
      this.#allocator.release(slice);
    };
    this.#driver.queues[0]!.submit({ buffers, used: () => ends(`seen ${letter}`), lost: () => ends(`lost ${letter}`) });
  }

  #compareStates(from: State, to: State): void {
    const driver = this.#driver;
    compare('the driver is', DRIVER_STATES[to.phase], driver.state);
    compare('the driver waits for the device', waits(to), this.#asked.value === 'pending');
    if (to.phase === 'running' || to.phase === 'suspended') compare('it was done', 'done', this.#asked.value);
    const isGivenUp = (waits(from) && to.phase === 'failed') || to.phase === 'stuck';
    if (isGivenUp) compare('what was asked for failed', true, this.#asked.value instanceof Error);
    const outstanding = driver.queues.reduce((sum, queue) => sum + queue.outstanding, 0);
    compare('requests that are out', to.out.length + to.offered.length, outstanding);
    const device = this.#transport.hand;
    if (device === undefined) return;
    if (to.queue === 'live') compare('available', to.available, device.available);
    compare('the driver wants to be interrupted', to.driverWants, device.driverWants);
  }
}

const DRIVER_STATES: Readonly<Record<Phase, DriverState>> = {
  'wrote 00': 'reset',
  'wrote 01': 'reset',
  'wrote 03': 'reset',
  'wrote 0b': 'reset',
  'wrote 0f': 'reset',
  running: 'running',
  'resetting a queue': 'running',
  suspending: 'suspending',
  suspended: 'suspended',
  resuming: 'resuming',
  stuck: 'reset',
  failed: 'failed',
};

/** What a driver does that its device, or its application, sees. */
function isVisible(word: Said): boolean {
  const isOfDevice = /^(status|take|use|interrupt|pause)/.test(word);
  return !isOfDevice && word !== 'collect' && word !== 'new rings';
}
