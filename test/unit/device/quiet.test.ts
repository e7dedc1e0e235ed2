import { describe, expect, it } from 'vitest';
import { Quiet } from '../../../src/device/quiet.ts';
import { FakeClock, settle } from '../../support/fake-clock.ts';

interface Rig {
  readonly quiet: Quiet;
  readonly clock: FakeClock;
  readonly log: string[];
  busy: boolean;
  stop: () => void | Promise<void>;
  start: () => void | Promise<void>;
  ask(owner: 'suspend' | 'pause', limitMs?: number): void;
}

function makeRig(): Rig {
  const log: string[] = [];
  const clock = new FakeClock();
  const rig: Rig = {
    log,
    clock,
    busy: false,
    stop: () => {},
    start: () => {},
    quiet: new Quiet(
      {
        busy: () => rig.busy,
        stop: () => {
          log.push('stop');
          return rig.stop();
        },
        start: () => {
          log.push('start');
          return rig.start();
        },
        opened: () => log.push('opened'),
        startFailed: (error) => log.push(`start failed: ${error.message}`),
      },
      clock,
    ),
    ask: (owner, limitMs = 100) => {
      rig.quiet.request(owner, {
        limitMs,
        reached: () => log.push(`${owner} reached`),
        failed: (error) => log.push(`${owner} failed: ${error.message}`),
      });
    },
  };
  return rig;
}

describe('two owners', () => {
  it('that wait for rest: one that lets go does not open for the other', () => {
    const rig = makeRig();
    rig.busy = true;
    rig.ask('suspend');
    rig.ask('pause');
    rig.quiet.release('suspend');
    expect(rig.quiet.open).toBe(false);
    rig.busy = false;
    rig.quiet.settle();
    expect(rig.log).toEqual(['stop', 'pause reached']);
  });

  it('that have reached it: both have to let go', () => {
    const rig = makeRig();
    rig.ask('suspend');
    rig.ask('pause');
    rig.quiet.release('suspend');
    expect(rig.quiet.reached).toBe(true);
    rig.quiet.release('pause');
    expect(rig.log).toEqual(['stop', 'suspend reached', 'pause reached', 'start', 'opened']);
  });

  it('of which one comes too late in time: the other still waits', async () => {
    const rig = makeRig();
    rig.busy = true;
    rig.ask('suspend', 50);
    rig.ask('pause', 500);
    await rig.clock.advance(60);
    expect(rig.log).toEqual(['suspend failed: suspend: what is being processed did not end within 50 ms']);
    expect(rig.quiet.open).toBe(false);
    rig.busy = false;
    rig.quiet.settle();
    expect(rig.quiet.reached).toBe(true);
    expect(rig.clock.pending).toBe(0);
  });
});

describe('a back-end', () => {
  it('that does not stop fails all owners, and is open again', async () => {
    const rig = makeRig();
    rig.stop = () => Promise.reject(new Error('stuck'));
    rig.ask('suspend');
    rig.ask('pause');
    await settle();
    expect(rig.log).toEqual(['stop', 'suspend failed: stuck', 'pause failed: stuck', 'opened']);
  });

  it('that throws while stopping fails the owner within the call', () => {
    const rig = makeRig();
    rig.stop = () => {
      throw new Error('broken');
    };
    rig.ask('pause');
    expect(rig.log).toEqual(['stop', 'pause failed: broken', 'opened']);
  });

  it('that does not start stays at rest until it is started again', () => {
    const rig = makeRig();
    rig.ask('pause');
    rig.start = () => {
      throw new Error('cold');
    };
    rig.quiet.release('pause');
    expect(rig.log).toEqual(['stop', 'pause reached', 'start', 'start failed: cold']);
    expect(rig.quiet.open).toBe(false);
    rig.start = () => {};
    rig.quiet.restart();
    expect(rig.log.slice(-2)).toEqual(['start', 'opened']);
  });

  it('that is asked to stop while it starts does both in turn', async () => {
    const rig = makeRig();
    rig.ask('suspend');
    let started = (): void => {};
    rig.start = () =>
      new Promise((resolve) => {
        started = resolve;
      });
    rig.quiet.release('suspend');
    rig.ask('pause');
    started();
    await settle();
    expect(rig.log).toEqual(['stop', 'suspend reached', 'start', 'stop', 'pause reached']);
  });

  it('that does not start fails the owners that came meanwhile, and nobody waits any more', async () => {
    const rig = makeRig();
    rig.ask('pause');
    rig.start = () => Promise.reject(new Error('cold'));
    rig.quiet.release('pause');
    rig.ask('suspend');
    rig.ask('pause');
    await settle();
    expect(rig.log.slice(3)).toEqual(['suspend failed: cold', 'pause failed: cold', 'start failed: cold']);
    expect(rig.clock.pending).toBe(0);
    expect([rig.quiet.open, rig.quiet.reached]).toEqual([false, false]);
    rig.start = () => {};
    rig.quiet.restart();
    expect(rig.log.slice(-2)).toEqual(['start', 'opened']);
  });

  it('that stops after everybody has let go is started again', async () => {
    const rig = makeRig();
    let stopped = (): void => {};
    rig.stop = () =>
      new Promise((resolve) => {
        stopped = resolve;
      });
    rig.ask('suspend');
    rig.quiet.release('suspend');
    stopped();
    await settle();
    expect(rig.log).toEqual(['stop', 'start', 'opened']);
  });
});

describe('whatever is asked for out of turn', () => {
  it('has no effect: a start of what is open or held, an end of what nobody holds, a look while it stops', async () => {
    const rig = makeRig();
    rig.quiet.restart();
    rig.quiet.settle();
    rig.quiet.release('pause', new Error('nobody'));
    rig.quiet.restore([]);
    expect([rig.quiet.open, rig.log]).toEqual([true, []]);
    let stopped = (): void => {};
    rig.stop = () =>
      new Promise((resolve) => {
        stopped = resolve;
      });
    rig.ask('pause');
    rig.quiet.settle();
    rig.quiet.restart();
    rig.ask('suspend');
    expect(rig.log).toEqual(['stop']);
    stopped();
    await settle();
    rig.quiet.restart();
    rig.quiet.settle();
    rig.quiet.release('transport');
    expect(rig.log).toEqual(['stop', 'pause reached', 'suspend reached']);
    expect([rig.quiet.held('pause'), rig.quiet.held('suspend'), rig.quiet.held('transport')]).toEqual([
      true,
      true,
      false,
    ]);
  });

  it('an owner that lets go is told a reason only before it has reached rest, and its time is not counted any more', async () => {
    const rig = makeRig();
    rig.busy = true;
    rig.ask('pause', 50);
    rig.quiet.release('pause', new Error('changed my mind'));
    expect([rig.log, rig.clock.pending]).toEqual([['pause failed: changed my mind', 'opened'], 0]);
    rig.ask('suspend', 50);
    rig.quiet.release('suspend');
    expect(rig.log.slice(2)).toEqual(['opened']);
    rig.busy = false;
    rig.ask('pause', 50);
    rig.quiet.release('pause', new Error('too late'));
    await rig.clock.advance(100);
    expect(rig.log.slice(3)).toEqual(['stop', 'pause reached', 'start', 'opened']);
  });

  it('a back-end may say what is wrong by something else than an Error', async () => {
    const rig = makeRig();
    rig.stop = () => Promise.reject('stuck');
    rig.ask('pause');
    await settle();
    rig.stop = () => {
      throw 'broken';
    };
    rig.ask('pause');
    expect(rig.log.filter((line) => line.includes('failed'))).toEqual(['pause failed: stuck', 'pause failed: broken']);
    expect(rig.clock.pending).toBe(0);
  });

  it('a moment of rest is over when what it was for is done, and others stay at rest', () => {
    const rig = makeRig();
    const pass = (): void => {
      rig.quiet.pass(
        100,
        () => rig.log.push(`passed, ${rig.quiet.reached ? 'at rest' : 'at work'}`),
        (error) => rig.log.push(error.message),
      );
    };
    pass();
    expect(rig.log).toEqual(['stop', 'passed, at rest', 'start', 'opened']);
    rig.ask('pause');
    rig.log.length = 0;
    pass();
    expect([rig.log, rig.quiet.reached]).toEqual([['passed, at rest'], true]);
  });
});

it('an owner that holds already is told so', () => {
  const rig = makeRig();
  rig.ask('pause');
  expect(() => rig.ask('pause')).toThrow(/already held by pause/);
});
