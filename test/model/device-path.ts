import { Device } from '../../src/device/device.ts';
import type { SavedDevice } from '../../src/device/saved-device.ts';
import type { DeviceState } from '../../src/device/status-machine.ts';
import { Feature } from '../../src/spec/features.ts';
import { Status } from '../../src/spec/status.ts';
import { FakeClock, settle } from '../support/fake-clock.ts';
import type { Action } from './actions.ts';
import { asText, compare, Difference } from './difference.ts';
import { type DriverHand, PackedDriverHand, SplitDriverHand } from './driver-hand.ts';
import type { Walker } from './paths.ts';
import { packedEvent, type RingKind, RingMemory, ringFeatures } from './ring-memory.ts';
import { isHeldAtRest, needsReset, showsRest, showsRunning } from './shown.ts';
import { first, type Settings, type State } from './state.ts';
import { type Said, Step } from './step.ts';
import { KNOB, ToldType } from './told-type.ts';

const { DRIVER_OK, FAILED, SUSPEND } = Status;
const SUSPEND_LIMIT_MS = 1000;
/** A pause of the model waits for as long as it takes. */
const FOR_EVER = 1e12;

/** One path of the model, which a real device goes along: its driver is the model's, and writes a real ring by hand. */
export class DevicePath implements Walker {
  state: State = first();
  readonly #settings: Settings;
  readonly #kind: RingKind;
  readonly #ring: RingMemory;
  readonly #clock = new FakeClock();
  #type!: ToldType;
  #device!: Device;
  #driver: DriverHand | undefined;
  #said: Said[] = [];
  #usedSeen = '';
  /** What the driver has read last in this life of the device. */
  #read: { readonly value: number; readonly generation: number } | undefined;

  constructor(settings: Settings, kind: RingKind) {
    this.#settings = settings;
    this.#kind = kind;
    this.#ring = new RingMemory(kind);
    this.#make(1);
  }

  async take(action: Action): Promise<void> {
    const from = this.state;
    const step = new Step(from, this.#settings, undefined);
    action.run(step);
    const to = step.s;
    this.#said = [];
    // A queue that comes to be in use has to find its memory, here or in another device.
    const isStill = rests(from) && rests(to) && from.queue === to.queue && action.name !== 'move to another device';
    if (isStill) this.#ring.remove();
    await this.#run(action, from, step.said).catch(thrown);
    if (isStill) this.#ring.restore();
    this.#noteUsed();
    compare('what happened', asText(from.status, step.said.filter(isSeen)), asText(from.status, this.#said));
    this.#compareStates(to);
    if (this.#device.isQuiet) this.#compareSaved(to, this.#device.save());
    this.#tryInVain(to);
    this.state = to;
  }

  /** What the driver would read now. */
  end(): Promise<void> {
    if (this.state.status === 0) return Promise.resolve();
    const before = this.#read;
    this.#readConfig(this.state);
    if (!this.state.stale && this.#read!.generation !== before!.generation)
      throw new Difference('a generation', before, this.#read);
    return Promise.resolve();
  }

  #make(value: number): void {
    const type = new ToldType();
    type.value = value;
    const offer = [Feature.RING_RESET, Feature.RING_PACKED, Feature.IN_ORDER];
    const options = { clock: this.#clock, suspendLimitMs: SUSPEND_LIMIT_MS, offer };
    const device = new Device(type, this.#ring.memory, options);
    const say = (word: Said): void => {
      this.#noteUsed();
      if (device !== this.#device) throw new Error(`a device that was moved still says: ${word}`);
      this.#said.push(word);
    };
    type.onTake = (letter) => say(`take ${letter}`);
    device.observer = { statusShown: (status) => say(`status ${status.toString(16).padStart(2, '0')}`) };
    device.transport = {
      usedBuffer: () => say('interrupt used'),
      configChange: () => say('interrupt config'),
      reset: () => {
        this.#read = undefined;
      },
    };
    this.#type = type;
    this.#device = device;
  }

  async #run(action: Action, from: State, said: readonly Said[]): Promise<void> {
    await this.#trigger(action, from);
    for (const word of said) this.#drive(word);
    await settle();
  }

  /** What does not come from the driver. */
  async #trigger({ name }: Action, from: State): Promise<void> {
    const device = this.#device;
    const type = this.#type;
    const told: Readonly<Record<string, () => void | Promise<void>>> = {
      'the kick arrives': () => device.kick(0),
      'answer an old buffer': () => type.answerOrphan(),
      'it has stopped': () => type.end('stop'),
      'it does not stop': () => type.end('stop', new Error('stuck')),
      'it has started': () => type.end('start'),
      'it does not start': () => type.end('start', new Error('stuck')),
      'the suspend takes too long': () => this.#clock.advance(SUSPEND_LIMIT_MS),
      'the configuration changes': () => type.change(),
      'the device fails': () => type.port.fail(new Error('burnt down')),
      pause: () => {
        device.pause(FOR_EVER).then(
          () => this.#said.push('paused'),
          () => this.#said.push('pause refused'),
        );
      },
      continue: () => device.continue(),
      'move to another device': () => this.#move(),
      'reset by the host': () => device.reset(),
    };
    if (name.startsWith('answer ') && !name.endsWith('buffer')) type.answer(from.taken[Number(name.slice(7))]!);
    else await told[name]?.();
  }

  #move(): void {
    const saved = JSON.parse(JSON.stringify(this.#device.save())) as unknown;
    this.#make(this.#type.value);
    const said = this.#said;
    this.#said = [];
    this.#device.restore(saved);
    this.#said = said;
  }

  /** The model's driver does something. */
  #drive(word: Said): void {
    const [what, letters] = word.split(' ') as [string, string];
    const device = this.#device;
    if (what === 'expose' || what === 'write') this.#said.push(word);
    if (what === 'write') device.writeStatus(Number.parseInt(letters, 16));
    else if (word === 'features') this.#writeFeatures();
    else if (word === 'new rings') this.#driver = undefined;
    else if (word === 'enable') {
      const { layout } = this.#makeRing();
      device.configureQueue(0, (slot) => Object.assign(slot, layout));
      device.enableQueue(0);
    } else if (word === 'reset queue') device.resetQueue(0);
    else if (what === 'expose') this.#driver!.expose(letters);
    else if (what === 'collect') this.#collect();
    else if (word === 'read config') this.#readConfig(undefined);
  }

  #writeFeatures(): void {
    const features = ringFeatures(this.#kind);
    for (let word = 0; word < 2; word++)
      this.#device.writeFeatures(word, Number((features >> BigInt(32 * word)) & 0xffff_ffffn));
  }

  #makeRing(): DriverHand {
    const Hand = this.#kind.format === 'split' ? SplitDriverHand : PackedDriverHand;
    this.#driver = new Hand(this.#ring, this.#ring.nextArea());
    this.#usedSeen = '';
    return this.#driver;
  }

  #collect(): void {
    this.#noteUsed();
    for (const letter of this.#driver?.collect() ?? '') this.#said.push(`seen ${letter}`);
    this.#usedSeen = '';
  }

  /** What has come into the used ring since the last look. */
  #noteUsed(): void {
    const used = this.#driver?.used ?? '';
    if (used.length === this.#usedSeen.length) return;
    this.#said.push(`use ${used.slice(this.#usedSeen.length)}`);
    this.#usedSeen = used;
  }

  /** With `to`, the driver does so only for the comparison, in this state. */
  #readConfig(to: State | undefined): void {
    if (to === undefined) this.#said.push('read config');
    const device = this.#device;
    const value = device.readConfig(0, 4);
    const generation = device.configGeneration;
    const last = this.#read;
    if (last !== undefined && value !== last.value && generation === last.generation)
      throw new Difference('a changed value has another generation', true, false);
    if (to !== undefined && !to.stale) compare('the value that is read again', last!.value, value);
    if (to !== undefined && !to.changeHeld) compare('the value that is read', this.#type.value, value);
    this.#read = { value, generation };
  }

  #compareStates(to: State): void {
    const device = this.#device;
    const type = this.#type;
    const slot = device.queues[0]!;
    compare('status', to.status, device.status);
    compare('held by the host', to.pauseHeld, device.paused);
    compare('at rest', isHeldAtRest(to), device.isQuiet);
    const doing = to.rest === 'stopping' ? 'stop' : to.rest === 'starting' ? 'start' : undefined;
    compare('the back-end is told to', doing, type.doing);
    compare('failed', needsReset(to.status), device.failure !== undefined);
    compare('queue', to.queue, slot.queue !== undefined ? 'live' : slot.enabled ? 'enabled' : 'off');
    compare('in processing', to.taken.replace(/[A-Z]/g, ''), type.held);
    compare('in processing, or waiting for an older one', to.taken.length, slot.taken);
    compare('buffers of a life before', to.orphans, type.orphans);
    compare('in flight', to.taken.length + to.orphans, device.inFlight);
    const driver = this.#driver;
    if (driver === undefined) return;
    compare('used and not collected', to.used, driver.used);
    if (to.queue !== 'live') return;
    compare('available', to.available.length, driver.exposed - driver.usedCount - slot.taken);
    compare('the device wants to be kicked', to.deviceWants, driver.deviceWants);
  }

  #compareSaved(to: State, { body }: SavedDevice): void {
    compare('saved state', stateOf(to), body.state);
    compare('saved status', to.status, body.status);
    compare('saved as paused', to.pauseHeld, body.paused);
    compare('saved failure', needsReset(to.status), body.failure !== null);
    compare('saved change that is held', to.changeHeld, body.config.changeHeld);
    compare('saved notification that is owed', to.owesChange, body.config.notificationOwed);
    const value = new DataView(Uint8Array.from(body.config.bytes).buffer).getUint32(0, true);
    if (!to.stale && this.#read !== undefined) compare('saved value', this.#read.value, value);
    if (!to.changeHeld) compare('saved value', this.#type.value, value);
    const { enabled, positions } = body.queues[0]!;
    compare('saved queue', to.queue, positions !== null ? 'live' : enabled ? 'enabled' : 'off');
    if (positions === null) return;
    compare('saved position', this.#position(this.#driver!.exposed - to.available.length), JSON.stringify(positions));
  }

  /** At rest as much was used as was taken. */
  #position(count: number): string {
    if (this.#kind.format === 'split')
      return JSON.stringify({ format: 'split', availableNext: count, usedNext: count });
    const event = packedEvent(count);
    const [next, wrap] = [event & 0x7fff, event >>> 15];
    return JSON.stringify({
      format: 'packed',
      availableNext: next,
      availableWrap: wrap,
      usedNext: next,
      usedWrap: wrap,
    });
  }

  /** What a driver may do wrong, or does without any need: it changes nothing. */
  #tryInVain(to: State): void {
    const { knob } = this.#type;
    const before = this.#said.length;
    this.#ring.remove();
    try {
      this.#doInVain(to, knob + 1);
    } catch (error) {
      thrown(error);
    }
    this.#ring.restore();
    compare('status after writes without a meaning', to.status, this.#device.status);
    compare('what happened for nothing', '', this.#said.slice(before).join(', '));
    compare('a byte that was written at rest', knob, this.#type.knob);
  }

  #doInVain(to: State, knob: number): void {
    const device = this.#device;
    for (const value of harmless(to)) device.writeStatus(value);
    const isOpen = to.rest === 'open' && !to.pauseHeld && !to.suspendHeld;
    if (!isOpen || !showsRunning(to.status) || to.orphans > 0) device.kick(0);
    if (showsRest(to.status) && !needsReset(to.status)) device.writeConfig(KNOB, 1, knob);
  }
}

function thrown(error: unknown): never {
  throw new Difference('what is thrown', undefined, String(error));
}

/** The driver knows what becomes of its buffers, and a comparison has nothing to do with these. */
function isSeen(word: Said): boolean {
  return !(/^(lost|kick)/.test(word) || ['features', 'new rings', 'enable', 'reset queue', 'collect'].includes(word));
}

/** Nothing looks at the memory: held, or suspended. */
function rests(s: State): boolean {
  return isHeldAtRest(s) || (showsRest(s.status) && s.suspendHeld);
}

function stateOf({ status, suspendHeld }: State): DeviceState {
  if (needsReset(status)) return 'needsReset';
  if (showsRest(status)) return suspendHeld ? 'suspended' : 'resuming';
  if ((status & SUSPEND) !== 0) return 'suspending';
  return (status & DRIVER_OK) !== 0 ? 'running' : 'initializing';
}

/** Status values whose writing changes nothing. */
function harmless(s: State): readonly number[] {
  const { status } = s;
  if ((status & FAILED) !== 0 || needsReset(status)) return [0x01, 0x0f, 0x1b, 0x1f, 0x60];
  const state = stateOf(s);
  if (state === 'initializing') return status === 0 ? [0x60] : [status, status | 0x60];
  if (state === 'running') return [0x01, 0x0b, 0x0f, 0x6f];
  return state === 'suspended' ? [0x01, 0x0b, 0x1b, 0x7b] : [0x01, 0x0b, 0x0f, 0x1b, 0x1f, 0x7f];
}
