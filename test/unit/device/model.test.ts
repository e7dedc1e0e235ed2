import fc from 'fast-check';
import { expect, it } from 'vitest';
import { Feature } from '../../../src/spec/features.ts';
import { type ControlledType, EVENTS, MORE_REQUESTS, REQUESTS } from '../../support/controlled-type.ts';
import { settle } from '../../support/fake-clock.ts';
import { runs } from '../../support/runs.ts';
import { ringSettings, type Setting, SuspendRig } from '../../support/suspend-rig.ts';

const RUNS = runs(20_261_123, 100);

/** What may be shown after what, but for a reset, a failure and FAILED, which may come at any time. */
const NEXT: Readonly<Record<string, string>> = {
  '00': '01',
  '01': '03',
  '03': '0b',
  '0b': '0f',
  '0f': '1f',
  '1f': '1b',
  '1b': '0f',
  '9f': '9b',
  '9b': '8f',
};

function mayFollow(before: string, after: string): boolean {
  // A restored device shows again what the saved one had shown.
  if (after === '00' || after === before || after === NEXT[before]) return true;
  const [was, is] = [Number.parseInt(before, 16), Number.parseInt(after, 16)];
  // A failed suspend is not shown as one.
  const failed = (was & 0x14) === 0x14 ? (was & ~0x10) | 0x40 : was | 0x40;
  return is === (was | 0x80) || is === failed;
}

/** Device, driver, host and back-end together, with what has to hold at every moment. */
class World {
  rig!: SuspendRig;
  readonly #setting: Setting;
  /** The next number of a request or of an event. */
  next = 1;
  /** Events that came and were not delivered, in order; those of a life that was reset are forgotten with its buffers. */
  arrived: number[] = [];
  /** Changes that the driver was not told of. */
  untold = 0;
  pausing: Promise<void> | undefined;
  /** What an interrupt does besides handing back. */
  inInterrupt: (() => void) | undefined;
  #seen = 0;
  #shown = '0f';
  readonly #collected = new Set<string>();

  constructor(setting: Setting) {
    this.#setting = setting;
  }

  async start(): Promise<this> {
    this.rig = await SuspendRig.start(this.#setting, { offer: [Feature.RING_RESET] });
    this.rig.onInterrupt = () => {
      this.rig.collect();
      const then = this.inInterrupt;
      this.inInterrupt = undefined;
      then?.();
    };
    return this;
  }

  get running(): boolean {
    return this.rig.status === 0x0f;
  }

  send(queue: number, kick: 'kick' | 'no kick'): void {
    if (!this.rig.hasRoom(queue)) return;
    const wanted = this.rig.expose(queue, this.next++);
    if (wanted && kick === 'kick') this.rig.kick(queue);
  }

  /** Looks at all that has happened since the last time. */
  check(): void {
    const { rig } = this;
    for (; this.#seen < rig.events.length; this.#seen++) this.#checkEvent(rig.events[this.#seen]!);
    const { device } = rig;
    expect(device.status.toString(16).padStart(2, '0')).toBe(this.#shown);
    if (device.isQuiet) expect(device.inFlight).toBe(0);
    // What runs and is not held withholds nothing.
    if (this.running && !device.paused && rig.type.steps.length === 0) expect(this.untold).toBe(0);
  }

  #checkEvent(event: string): void {
    const [kind, what] = event.split(' ');
    if (kind === 'status') {
      expect(mayFollow(this.#shown, what!), `${what} was shown after ${this.#shown}`).toBe(true);
      this.#shown = what!;
      if (what === '00') this.untold = 0;
    } else if (kind === 'config') {
      expect(['0f', '1f', '8f', '9f', '4f', 'cf']).toContain(this.#shown);
      this.untold = 0;
    } else if (kind === 'used') {
      // At rest nobody is interrupted. (`used` is noted before what it leads to.)
      expect(['0f', '1f', '8f', '9f'], 'interrupted').toContain(this.#shown);
    } else {
      const [queue, token] = what!.split(':');
      expect(this.#collected.has(what!), `${what} came back twice`).toBe(false);
      this.#collected.add(what!);
      if (Number(queue) === EVENTS) expect(this.arrived.shift()).toBe(Number(token));
    }
  }
}

interface Action {
  readonly name: string;
  readonly may: (world: World) => boolean;
  readonly run: (world: World, number: number) => void | Promise<void>;
  /** A device at rest does not look at its memory for it, which is therefore taken away meanwhile. */
  readonly atRest?: true;
}

type Manners = Partial<Pick<ControlledType, 'answering' | 'stopping' | 'starting'>>;

const AT_ONCE: Manners = { stopping: 'at once', starting: 'at once' };

function behave(manners: Manners): Action['run'] {
  return ({ rig }) => {
    Object.assign(rig.type, manners);
  };
}

const always = (): boolean => true;
const hasHeld = ({ rig }: World): boolean => rig.type.held.length > 0;
const hasSteps = ({ rig }: World): boolean => rig.type.steps.length > 0;
const offers = ({ rig }: World): boolean => [0x0f, 0x1f, 0x1b].includes(rig.status);

const ACTIONS: readonly Action[] = [
  { name: 'initialize', may: always, run: ({ rig }) => rig.initialize() },
  { name: 'request', may: offers, run: (world) => world.send(REQUESTS, 'kick') },
  { name: 'request elsewhere', may: offers, run: (world) => world.send(MORE_REQUESTS, 'kick') },
  { name: 'buffer for an event', may: offers, run: (world) => world.send(EVENTS, 'kick') },
  { name: 'collect', may: ({ running }) => running, run: (world) => void world.rig.collect() },
  { name: 'answer', may: hasHeld, run: ({ rig }, n) => rig.type.answer(n % rig.type.held.length) },
  { name: 'answer all', may: hasHeld, run: ({ rig }) => rig.type.answerAll() },
  { name: 'answer when told', may: always, run: behave({ answering: 'when told' }) },
  { name: 'answer at once', may: always, run: behave({ answering: 'at once' }) },
  { name: 'suspend', may: ({ running }) => running, run: ({ rig }) => rig.suspend() },
  {
    name: 'reset a queue',
    // At rest a queue is not enabled again; a device that needs a reset, or was given up, is reset as a whole.
    may: ({ rig }) => rig.status === 0x0f || rig.status === 0x1f,
    run: ({ rig }, n) => rig.resetQueue(n % 3),
  },
  { name: 'resume', may: ({ rig }) => rig.status === 0x1b, run: ({ rig }) => rig.resume() },
  {
    name: 'odd write',
    may: always,
    run: ({ rig }, n) => {
      const { status } = rig;
      // What changes nothing in any state but the first ones: bits that are set already, or are not the driver's.
      if (status >= 0x0b) rig.write(status & [0x01, 0x03, 0x0b, 0x0b][n % 4]!);
      rig.write((status | [0x20, 0x40, 0x60][n % 3]!) & (status === 0x1b ? ~0x04 : ~0x10));
    },
    atRest: true,
  },
  { name: 'kick', may: always, run: ({ rig }, n) => rig.kick(n % 4), atRest: true },
  {
    name: 'pause',
    may: ({ rig }) => !rig.device.paused,
    run: ({ rig }) => void rig.device.pause(500).catch(() => {}),
  },
  { name: 'continue', may: ({ rig }) => rig.device.paused, run: ({ rig }) => rig.device.continue() },
  {
    name: 'change',
    may: always,
    run: (world) => {
      if ((world.rig.status & 0x14) !== 0) world.untold++;
      world.rig.type.change((world.next++ & 0xff) + 1);
    },
    atRest: true,
  },
  {
    name: 'event',
    may: ({ arrived }) => arrived.length < 4,
    run: (world) => {
      world.arrived.push(world.next);
      world.rig.type.arrive(world.next++);
    },
    atRest: true,
  },
  {
    name: 'move to another device',
    // What holds buffers of a life before, or works on a step, cannot be left behind.
    may: (world) => world.rig.device.isQuiet && !hasHeld(world) && !hasSteps(world),
    run: ({ rig }) => {
      const { starting, stopping, answering } = rig.type;
      rig.move();
      Object.assign(rig.type, { starting, stopping, answering });
    },
  },
  { name: 'stop when told', may: always, run: behave({ stopping: 'when told' }) },
  { name: 'start when told', may: always, run: behave({ starting: 'when told' }) },
  { name: 'stop and start at once', may: always, run: behave(AT_ONCE) },
  { name: 'the back-end is done', may: hasSteps, run: ({ rig }) => rig.type.steps.shift()!.settle() },
  {
    name: 'the back-end does not',
    may: hasSteps,
    run: ({ rig }, n) => rig.type.steps.shift()!.settle(n % 3 === 0 ? new Error('stuck') : undefined),
  },
  { name: 'fail', may: always, run: ({ rig }, n) => void (n % 8 === 0 && rig.type.port.fail(new Error('lost'))) },
  { name: 'give up', may: always, run: ({ rig }, n) => void (n % 8 === 0 && rig.write(rig.status | 0x80)) },
  {
    name: 'time passes',
    may: always,
    run: ({ rig }, n) => rig.clock.advance(n % 2 === 0 ? 10 : 700),
  },
  {
    name: 'in the next interrupt',
    may: always,
    run: (world, n) => {
      const { rig } = world;
      world.inInterrupt = [
        () => world.send(REQUESTS, 'kick'),
        () => rig.status === 0x0f && rig.suspend(),
        () => rig.type.change(n + 1),
        () => rig.type.held.length > 0 && rig.type.answer(),
        () => rig.write(0),
        () => void (rig.device.paused || rig.device.pause(500).catch(() => {})),
      ][n % 6] as () => void;
    },
  },
];

class Command implements fc.AsyncCommand<World, World> {
  readonly action: Action;
  readonly number: number;

  constructor(action: Action, number: number) {
    this.action = action;
    this.number = number;
  }

  check(world: Readonly<World>): boolean {
    return this.action.may(world as World);
  }

  async run(world: World): Promise<void> {
    const { rig } = world;
    const { action, number } = this;
    if (action.atRest === true && rig.device.isQuiet) await rig.withoutMemory(() => action.run(world, number));
    else await action.run(world, number);
    await settle();
    world.check();
  }

  toString(): string {
    return `${this.action.name} ${this.number}`;
  }
}

/** From wherever it is, a device goes on: everything that is out comes back, or a reset ends it. */
async function finish(world: World): Promise<void> {
  const { rig } = world;
  Object.assign(rig.type, AT_ONCE);
  world.inInterrupt = undefined;
  for (let round = 0; round < 4; round++) {
    for (const step of rig.type.steps.splice(0)) step.settle();
    rig.type.answerAll();
    await rig.clock.advance(2000);
    if (rig.device.paused) rig.device.continue();
    if (rig.status === 0x1b) rig.resume();
    await settle();
    rig.type.answering = 'at once';
    world.check();
  }
  if (rig.status !== 0x0f) await rig.initialize();
  await settle();
  expect(rig.status).toBe(0x0f);
  rig.collect();
  world.check();
  expect([rig.outstanding(REQUESTS), rig.outstanding(MORE_REQUESTS), world.untold]).toEqual([0, 0, 0]);
  // Nothing lost of what came from outside either.
  while (world.arrived.length > 0) {
    world.send(EVENTS, 'kick');
    world.check();
  }
}

it.each(ringSettings)(
  `no sequence of driver, host and back-end loses a buffer or breaks the rest: %s (seed ${RUNS.seed})`,
  async (_, setting) => {
    const commands = fc.commands(
      ACTIONS.map((action) => fc.nat(100).map((number) => new Command(action, number))),
      { maxCommands: 80, size: 'max' },
    );
    await fc.assert(
      fc.asyncProperty(commands, async (sequence) => {
        const world = await new World(setting).start();
        await fc.asyncModelRun(() => ({ model: world, real: world }), sequence);
        await finish(world);
      }),
      RUNS,
    );
  },
);
