import { afterEach, describe, expect, it, vi } from 'vitest';
import { type QueueKind, QueuePair, queueKinds } from '../../support/queue-pair.ts';

/**
 * The two ends run on different threads: between any two accesses of one end to index and event words the other end may
 * do all that it does. Every such place is tried, one after the other.
 */
function atEachWord(act: () => void, between: (word: number) => void): number {
  let words = 0;
  let inside = false;
  const meddle = (): void => {
    if (inside) return;
    inside = true;
    between(words++);
    inside = false;
  };
  const { load, store } = Atomics;
  vi.spyOn(Atomics, 'load').mockImplementation(((array: Uint16Array, index: number) => {
    meddle();
    const value = load(array, index);
    meddle();
    return value;
  }) as typeof Atomics.load);
  vi.spyOn(Atomics, 'store').mockImplementation(((array: Uint16Array, index: number, value: number) => {
    meddle();
    store(array, index, value);
    meddle();
    return value;
  }) as typeof Atomics.store);
  act();
  vi.restoreAllMocks();
  return words;
}

afterEach(() => vi.restoreAllMocks());

/** Answers all that is there and asks for a kick, until there is nothing: then the device sleeps. */
function serve(pair: QueuePair): boolean {
  let tell = false;
  do {
    for (let chain = pair.device.take(); chain !== undefined; chain = pair.device.take()) pair.answer(chain, 1);
    tell = pair.device.publish() || tell;
  } while (pair.device.arm());
  return tell;
}

/** Collects all that is there and asks for an interrupt, until there is nothing: then the driver sleeps. */
function collect(pair: QueuePair): void {
  do {
    while (pair.collect() !== undefined);
  } while (pair.driver.arm());
}

function nothingIsAsleepOver(kind: QueueKind, size: number): void {
  const places = { kick: 0, interrupt: 0 };
  for (let place = 0; place < Math.max(1, places.kick); place++) {
    const pair = new QueuePair(kind, size, 'shared');
    serve(pair);
    collect(pair);
    pair.offer(1, 1);
    let kick = false;
    places.kick = atEachWord(
      () => {
        kick = pair.driver.expose();
      },
      (word) => {
        if (word === place) serve(pair);
      },
    );
    if (!kick) expect(pair.device.take(), `the device sleeps over a buffer, word ${place}`).toBeUndefined();
  }
  for (let place = 0; place < Math.max(1, places.interrupt); place++) {
    const pair = new QueuePair(kind, size, 'shared');
    serve(pair);
    collect(pair);
    pair.offer(1, 1);
    pair.driver.expose();
    pair.answer(pair.device.take()!, 1);
    let tell = false;
    places.interrupt = atEachWord(
      () => {
        tell = pair.device.publish();
      },
      (word) => {
        if (word === place) collect(pair);
      },
    );
    if (!tell) expect(pair.collect(), `the driver sleeps over a buffer, word ${place}`).toBeUndefined();
  }
  expect(places.kick).toBeGreaterThanOrEqual(4);
  expect(places.interrupt).toBeGreaterThanOrEqual(4);
}

/** The other way round: one end goes to sleep while the other does its whole turn in between. */
function sleepNoticesWhatCame(kind: QueueKind, size: number): void {
  for (let place = 0, places = 1; place < places; place++) {
    const pair = new QueuePair(kind, size, 'shared');
    let kick = false;
    let again = false;
    places = atEachWord(
      () => {
        again = pair.device.arm();
      },
      (word) => {
        if (word !== place) return;
        pair.offer(1, 1);
        kick = pair.driver.expose();
      },
    );
    expect(kick || again, `the device sleeps over a buffer, word ${place}`).toBe(true);
  }
  for (let place = 0, places = 1; place < places; place++) {
    const pair = new QueuePair(kind, size, 'shared');
    pair.answerNext(0);
    pair.offer(1, 1);
    pair.driver.expose();
    const chain = pair.device.take()!;
    let tell = false;
    let again = false;
    places = atEachWord(
      () => {
        again = pair.driver.arm();
      },
      (word) => {
        if (word !== place) return;
        pair.answer(chain, 1);
        tell = pair.device.publish();
      },
    );
    expect(tell || again, `the driver sleeps over a buffer, word ${place}`).toBe(true);
  }
}

describe('no end sleeps over a buffer, wherever the other one runs in between', () => {
  for (const kind of queueKinds) {
    it(`${kind.name}: exposing and publishing`, () => nothingIsAsleepOver(kind, 2));
    it(`${kind.name}: going to sleep`, () => sleepNoticesWhatCame(kind, 2));
  }
});
