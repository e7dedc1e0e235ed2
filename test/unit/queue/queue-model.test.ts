import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Chain } from '../../../src/queue/chain.ts';
import { type QueueKind, QueuePair, queueKinds } from '../../support/queue-pair.ts';
import { runs } from '../../support/runs.ts';

/** The whole of a virtqueue: requests go from list to list. Descriptors are counted, for a full queue. */
class Model {
  hidden: { token: number; descriptors: number }[] = [];
  available: { token: number; descriptors: number }[] = [];
  taken: { token: number; descriptors: number; chain: Chain; complete: boolean }[] = [];
  answered: { token: number; descriptors: number }[] = [];
  used: { token: number; descriptors: number }[] = [];
  tokens = 0;
  accepted = 0;
  /** An end that found nothing and asked to be told sleeps until it is told. */
  deviceSleeps = false;
  driverSleeps = false;

  get descriptors(): number {
    const all = [...this.hidden, ...this.available, ...this.taken, ...this.answered, ...this.used];
    return all.reduce((sum, request) => sum + request.descriptors, 0);
  }
}

type Real = { pair: QueuePair; kind: QueueKind };
type Step = fc.Command<Model, Real>;

const step = (name: string, run: (model: Model, real: Real) => void, check?: (model: Model) => boolean): Step => ({
  check: (model) => check?.(model) ?? true,
  run,
  toString: () => name,
});

const offer = (buffers: 1 | 2): Step =>
  step(`offer ${buffers}`, (model, { pair, kind }) => {
    const token = model.tokens++;
    const used = pair.size === 1 ? 1 : buffers;
    const descriptors = kind.features.indirect ? 1 : used;
    const fits = model.descriptors + descriptors <= pair.size;
    expect(pair.offer(token, used) >= 0).toBe(fits);
    if (!fits) return;
    model.accepted++;
    model.hidden.push({ token, descriptors });
  });

const expose = step('expose', (model, { pair }) => {
  const kick = pair.driver.expose();
  if (model.hidden.length === 0) expect(kick).toBe(false);
  else if (model.deviceSleeps) expect(kick, 'a sleeping device has to be kicked').toBe(true);
  if (kick) model.deviceSleeps = false;
  model.available.push(...model.hidden.splice(0));
});

const take = step(
  'take',
  (model, { pair }) => {
    const chain = pair.device.take();
    const request = model.available.shift();
    expect(chain === undefined).toBe(request === undefined);
    if (chain === undefined || request === undefined) return;
    if (chain.readableBytes === 4) expect(chain.readU32(0)).toBe(request.token);
    model.taken.push({ ...request, chain, complete: false });
  },
  (model) => !model.deviceSleeps,
);

const complete = (which: number): Step =>
  step(
    `complete ${which}`,
    (model, { pair, kind }) => {
      const left = model.taken.filter((request) => !request.complete);
      const request = left[which % left.length]!;
      pair.answer(request.chain, request.token);
      request.complete = true;
      // In order, what is complete waits for what was taken before it.
      const held = kind.features.inOrder === true ? model.taken.findIndex(({ complete }) => !complete) : -1;
      const used = kind.features.inOrder === true ? model.taken.slice(0, held < 0 ? undefined : held) : [request];
      model.taken = model.taken.filter((each) => !used.includes(each));
      model.answered.push(...used);
    },
    (model) => model.taken.some(({ complete }) => !complete),
  );

const publish = step('publish', (model, { pair }) => {
  const tell = pair.device.publish();
  if (model.answered.length === 0) expect(tell).toBe(false);
  else if (model.driverSleeps) expect(tell, 'a sleeping driver has to be told').toBe(true);
  if (tell) model.driverSleeps = false;
  model.used.push(...model.answered.splice(0));
});

const collect = step(
  'collect',
  (model, { pair }) => {
    const back = pair.collect();
    const request = model.used.shift();
    expect(back?.token).toBe(request?.token);
    expect(back?.answer).toBe(request?.token);
  },
  (model) => !model.driverSleeps,
);

const sleepDevice = step('device arms', (model, { pair }) => {
  const there = pair.device.arm();
  expect(there).toBe(model.available.length > 0);
  model.deviceSleeps = !there;
});

const sleepDriver = step('driver arms', (model, { pair }) => {
  const there = pair.driver.arm();
  expect(there).toBe(model.used.length > 0);
  model.driverSleeps = !there;
});

const restart = step(
  'restart',
  (model, { pair }) => {
    pair.restart();
    // A device that goes on looks at its queues without waiting for a kick.
    model.deviceSleeps = false;
  },
  (model) => model.taken.length === 0 && model.answered.length === 0,
);

/** Buffers that were just taken go back, from the last one on, as long as nothing else happened. */
const takeAndGiveBack = (count: number): Step =>
  step(
    `take ${count} and give back`,
    (model, { pair }) => {
      const chains: Chain[] = [];
      for (let n = 0; n < count; n++) {
        const chain = pair.device.take();
        if (chain !== undefined) chains.push(chain);
      }
      expect(chains).toHaveLength(Math.min(count, model.available.length));
      for (const chain of chains.reverse()) pair.device.giveBack(chain);
    },
    (model) => !model.deviceSleeps,
  );

const steps = fc.commands(
  [
    fc.constantFrom<1 | 2>(1, 2).map(offer),
    fc.constantFrom<1 | 2>(1, 2).map(offer),
    fc.constant(expose),
    fc.constant(take),
    fc.nat(7).map(complete),
    fc.constant(publish),
    fc.constant(collect),
    fc.constant(sleepDevice),
    fc.constant(sleepDriver),
    fc.constant(restart),
    fc.integer({ min: 1, max: 3 }).map(takeAndGiveBack),
  ],
  { maxCommands: 120, size: 'max' },
);

/** Ends every request that is somewhere, and looks at each. */
function drain(model: Model, real: Real): void {
  model.deviceSleeps = model.driverSleeps = false;
  expose.run(model, real);
  while (model.available.length > 0) take.run(model, real);
  while (model.taken.length > 0) complete(0).run(model, real);
  publish.run(model, real);
  while (model.used.length > 0) collect.run(model, real);
  expect(real.pair.driver.outstanding).toBe(0);
  expect(real.pair.device.taken).toBe(0);
}

/** Shortly before the indices of a split ring wrap; the runs go on from one to the next, and over the wrap. */
const START = 65_480;

describe('a virtqueue is two lists of requests, whatever the two ends do', () => {
  for (const kind of queueKinds) {
    for (const size of kind.anySize ? [1, 3, 8] : [1, 4, 8]) {
      it(`${kind.name}, size ${size}`, () => {
        // Packed rings wrap all the time. One size is enough to see that of split ones.
        const start = kind.anySize || size !== 4 ? 0 : START;
        let carried = start;
        let pair = movedTo(carried, kind, size);
        const run = (commands: Iterable<Step>): void => {
          const real = { pair, kind };
          const model = new Model();
          try {
            fc.modelRun(() => ({ model, real }), commands);
            drain(model, real);
          } catch (error) {
            // What is left of it is of no use for a smaller example.
            pair = movedTo(carried, kind, size);
            throw error;
          }
          carried += model.accepted;
        };
        fc.assert(fc.property(steps, run), runs(20260102, 50));
        expect(carried - start).toBeGreaterThan(65_536 - START);
      });
    }
  }
});

/** A queue that has carried `position` requests. */
function movedTo(position: number, kind: QueueKind, size: number): QueuePair {
  const pair = new QueuePair(kind, size);
  for (let token = 0; token < position; token++) pair.answerNext(token);
  return pair;
}
