import { describe, expect, it } from 'vitest';
import { EVENTS, MORE_REQUESTS, REQUESTS } from '../support/controlled-type.ts';
import { settle } from '../support/fake-clock.ts';
import { ringSettings, SuspendRig, settings } from '../support/suspend-rig.ts';

/** Suspended, with nothing in `events`. */
async function suspended(...[setting, options]: Parameters<typeof SuspendRig.start>): Promise<SuspendRig> {
  const rig = await SuspendRig.start(setting, options);
  rig.suspend();
  expect(rig.status).toBe(0x1b);
  rig.events.length = 0;
  return rig;
}

describe.each(settings)('leaving a suspend, over %s:', (_, setting) => {
  it.each([0x1f, 0x0f, 0x04])('0x%x on a suspended device ends with SUSPEND=0, DRIVER_OK=1', async (value) => {
    const rig = await suspended(setting);
    rig.write(value);
    expect(rig.status).toBe(0x0f);
    expect(rig.events).toEqual(['status 0f']);
  });

  it('it is not shown as running before its back-end works and its queues are served', async () => {
    const rig = await suspended(setting);
    rig.type.starting = 'when told';
    rig.expose(REQUESTS, 1);
    rig.resume();
    expect(rig.status).toBe(0x1b);
    await rig.clock.advance(60_000);
    expect(rig.status).toBe(0x1b);
    expect(rig.events).toEqual([]);
    rig.type.steps.shift()!.settle();
    await settle();
    expect(rig.events).toEqual(['status 0f', 'used', 'collect 0:1']);
  });

  it('while it is resuming nothing is accessed, no configuration is written, and no value of the status means anything', async () => {
    const rig = await suspended(setting);
    rig.type.starting = 'when told';
    rig.send(EVENTS, 1);
    rig.resume();
    let event = 50;
    await rig.untouched(async () => {
      for (const value of [0x1f, 0x1b, 0x0f, 0x0b, 0x03, 0x10, 0x2f]) {
        rig.write(value);
        expect(rig.status).toBe(0x1b);
      }
      for (const queue of rig.queues.keys()) rig.kick(queue);
      rig.type.arrive(event++);
      rig.type.change(event);
      await rig.transport.writeConfig(4, 1, 1);
    });
    expect(rig.events).toEqual([]);
    rig.type.steps.shift()!.settle();
    await settle();
    expect(rig.status).toBe(0x0f);
    expect(rig.type.knob).toBe(0);
    expect(rig.events.filter((line) => line !== 'used')).toEqual(['status 0f', 'config', 'collect 2:50']);
    expect(rig.type.log.filter((line) => line === 'start')).toHaveLength(1);
  });

  it('positions continue: a request at each place of the ring, over three rounds, with a suspend after each', async () => {
    const rig = await SuspendRig.start(setting);
    for (let token = 1; token <= 26; token++) {
      rig.send(REQUESTS, token);
      rig.suspend();
      expect(rig.status).toBe(0x1b);
      if (token % 3 === 0) rig.expose(MORE_REQUESTS, token);
      rig.resume();
      expect(rig.status).toBe(0x0f);
    }
    const collected = rig.events.filter((event) => event.startsWith('collect'));
    expect(collected.filter((event) => event.startsWith('collect 0'))).toEqual(
      Array.from({ length: 26 }, (_, n) => `collect 0:${n + 1}`),
    );
    expect(collected.filter((event) => event.startsWith('collect 1'))).toEqual(
      Array.from({ length: 8 }, (_, n) => `collect 1:${3 * (n + 1)}`),
    );
  });

  it('requests that ended out of order before are not lost, and their descriptors serve again', async () => {
    const rig = await SuspendRig.start(setting);
    for (let round = 0; round < 7; round++) {
      rig.type.answering = 'when told';
      rig.send(REQUESTS, 1, 2, 3, 4);
      rig.type.answer(2);
      rig.type.answer(0);
      rig.suspend();
      rig.expose(REQUESTS, 5);
      rig.type.answer(1);
      rig.type.answer(0);
      expect(rig.status).toBe(0x1b);
      rig.type.answering = 'at once';
      rig.resume();
      const collected = rig.events.splice(0).filter((event) => event.startsWith('collect'));
      const order = setting.ring.features.inOrder === true ? [1, 2, 3, 4, 5] : [3, 1, 4, 2, 5];
      expect(collected).toEqual(order.map((token) => `collect 0:${token}`));
    }
  });

  it('chained and indirect descriptors that were pending are processed once', async () => {
    const rig = await SuspendRig.start(setting);
    rig.expose(REQUESTS, 1, 2, 3, 4);
    rig.suspend();
    rig.resume();
    expect(rig.type.log.filter((line) => line === 'take 0')).toHaveLength(4);
    rig.kick(REQUESTS);
    expect(rig.events.filter((event) => event.startsWith('collect'))).toHaveLength(4);
  });

  it('a second suspend directly after the resume does not lose the change that is to be told', async () => {
    const rig = await suspended(setting);
    rig.type.change(3);
    rig.resume();
    rig.suspend();
    expect(rig.events).toEqual(['status 0f', 'config', 'status 1f', 'status 1b']);
    rig.resume();
    expect([...(await rig.readConfig(0, 1)).bytes]).toEqual([3]);
  });

  it('a second suspend from within the notification of the first change loses nothing either', async () => {
    const rig = await suspended(setting);
    rig.expose(REQUESTS, 1);
    rig.type.change(3);
    rig.transport.onConfigChange = () => {
      rig.events.push('config');
      rig.transport.onConfigChange = () => rig.events.push('config');
      rig.suspend();
      rig.type.change(4);
    };
    rig.resume();
    expect(rig.status).toBe(0x1b);
    expect(rig.collect().flat()).toEqual([]);
    rig.resume();
    expect([...(await rig.readConfig(0, 1)).bytes]).toEqual([4]);
    expect(rig.events.filter((event) => event !== 'used')).toEqual([
      'status 0f',
      'config',
      'status 1f',
      'status 1b',
      'status 0f',
      'config',
      'collect 0:1',
    ]);
  });

  it('the saved device goes on in another one, which resumes', async () => {
    const rig = await SuspendRig.start(setting);
    rig.send(REQUESTS, 1);
    rig.send(EVENTS, 2);
    rig.suspend();
    rig.expose(MORE_REQUESTS, 3);
    rig.type.arrive(60);
    rig.move();
    expect(rig.status).toBe(0x1b);
    expect(rig.events.filter((event) => event.startsWith('collect'))).toEqual(['collect 0:1']);
    rig.events.length = 0;
    rig.resume();
    expect(rig.events.filter((event) => event !== 'used')).toEqual(['status 0f', 'collect 1:3', 'collect 2:60']);
    rig.send(REQUESTS, 4);
    expect(rig.events.at(-1)).toBe('collect 0:4');
  });
});

// Packed rings wrap all the time.
const splitRings = ringSettings.filter(([, { ring }]) => !ring.anySize);

describe.each([splitRings[0]!, splitRings.at(-1)!])('leaving a suspend, %s:', (_, setting) => {
  it('indices continue over their wrap from 65535 to 0', async () => {
    const rig = await SuspendRig.start(setting);
    let next = 1;
    const requests = (count: number): void => {
      for (let left = count; left > 0; left -= 4) rig.send(REQUESTS, ...[0, 1, 2, 3].map(() => next++));
    };
    requests(65_528);
    rig.events.length = 0;
    for (let n = 0; n < 4; n++) {
      rig.suspend();
      rig.resume();
      requests(4);
    }
    const collected = rig.events.filter((event) => event.startsWith('collect'));
    expect(collected).toEqual(Array.from({ length: 16 }, (_, n) => `collect 0:${65_529 + n}`));
  });
});
