import { describe, expect, it } from 'vitest';
import { EVENTS, MORE_REQUESTS, REQUESTS } from '../support/controlled-type.ts';
import { settle } from '../support/fake-clock.ts';
import { SuspendRig, settings } from '../support/suspend-rig.ts';

/** No value that a driver could take for a suspend, and none for a resume. */
function neverShown(rig: SuspendRig, ...values: readonly string[]): void {
  for (const value of values) expect(rig.events).not.toContain(`status ${value}`);
}

/** After a reset the device is as good as new. */
async function expectRecovery(rig: SuspendRig): Promise<void> {
  rig.type.answering = rig.type.stopping = rig.type.starting = 'at once';
  await rig.initialize();
  rig.events.length = 0;
  rig.send(REQUESTS, 77);
  rig.suspend();
  rig.resume();
  expect(rig.events).toEqual(['used', 'collect 0:77', 'status 1f', 'status 1b', 'status 0f']);
}

describe.each(settings)('a reset, over %s,', (_, setting) => {
  it('while suspending with a back-end that hangs reads 0 at once; nothing is accessed afterwards, and a new start works', async () => {
    const rig = await SuspendRig.start(setting);
    rig.type.answering = 'when told';
    rig.send(REQUESTS, 1);
    rig.suspend();
    rig.write(0);
    expect(rig.status).toBe(0);
    await rig.untouched(async () => {
      if (rig.type.held.length > 0) rig.type.answer();
      await rig.clock.advance(60_000);
    });
    expect(rig.status).toBe(0);
    expect(rig.events).toEqual(['status 1f', 'status 00']);
    await expectRecovery(rig);
  });

  it('while suspending: what ends later in the new life neither suspends nor is used there, and nothing new overtakes it', async () => {
    const rig = await SuspendRig.start(setting);
    rig.type.answering = 'when told';
    rig.send(REQUESTS, 1);
    rig.suspend();
    await rig.initialize();
    rig.type.answering = 'at once';
    rig.send(REQUESTS, 2);
    expect(rig.outstanding(REQUESTS)).toBe(1);
    rig.events.length = 0;
    rig.type.answer();
    expect(rig.events).toEqual(['used', 'collect 0:2']);
    expect(rig.status).toBe(0x0f);
  });

  it('while suspending, then a suspend of the new life: it waits for what the old one left', async () => {
    const rig = await SuspendRig.start(setting);
    rig.type.answering = 'when told';
    rig.send(REQUESTS, 1);
    rig.suspend();
    await rig.initialize();
    rig.suspend();
    expect(rig.status).toBe(0x1f);
    rig.type.answer();
    expect(rig.status).toBe(0x1b);
    expect(rig.device.save().body.state).toBe('suspended');
  });

  it('while the back-end stops: its end does not show as suspended', async () => {
    const rig = await SuspendRig.start(setting);
    rig.type.stopping = 'when told';
    rig.suspend();
    expect(rig.status).toBe(0x1f);
    rig.write(0);
    rig.type.steps.shift()!.settle();
    await settle();
    expect(rig.status).toBe(0);
    expect(rig.events).toEqual(['status 1f', 'status 00']);
    await expectRecovery(rig);
  });

  it('while suspended forgets features, queues and the change that was held', async () => {
    const rig = await SuspendRig.start(setting);
    rig.send(EVENTS, 1);
    rig.suspend();
    rig.type.change(9);
    rig.events.length = 0;
    rig.write(0);
    expect(rig.status).toBe(0);
    expect(rig.device.accepted).toBe(0n);
    for (const slot of rig.device.queues) expect(slot).toMatchObject({ enabled: false, descriptorArea: 0 });
    await rig.initialize();
    expect(rig.events.filter((event) => !event.startsWith('status'))).toEqual([]);
    expect([...(await rig.readConfig(0, 1)).bytes]).toEqual([9]);
    await expectRecovery(rig);
  });

  it('while resuming: a late end shows neither as running nor as suspended', async () => {
    const rig = await SuspendRig.start(setting);
    rig.expose(REQUESTS, 1);
    rig.suspend();
    rig.type.starting = 'when told';
    rig.resume();
    rig.events.length = 0;
    await rig.untouched(async () => {
      rig.write(0);
      for (const step of rig.type.steps.splice(0)) step.settle();
      await settle();
      expect(rig.status).toBe(0);
    });
    neverShown(rig, '0f', '1b');
    await expectRecovery(rig);
  });

  it('while resuming, and a new start before the back-end works: served as soon as it does', async () => {
    const rig = await SuspendRig.start(setting);
    rig.suspend();
    rig.type.starting = 'when told';
    rig.resume();
    await rig.initialize();
    rig.events.length = 0;
    rig.send(REQUESTS, 5);
    expect(rig.events).toEqual([]);
    rig.type.steps.shift()!.settle();
    await settle();
    expect(rig.events).toEqual(['used', 'collect 0:5']);
    expect(rig.status).toBe(0x0f);
  });

  it('while resuming: the change that was held is read in the new life and not told there, even if the back-end works late', async () => {
    const rig = await SuspendRig.start(setting);
    rig.suspend();
    rig.type.change(9);
    rig.type.starting = 'when told';
    rig.resume();
    await rig.initialize();
    expect([...(await rig.readConfig(0, 1)).bytes]).toEqual([9]);
    rig.events.length = 0;
    rig.type.steps.shift()!.settle();
    await settle();
    expect(rig.events).toEqual([]);
    await expectRecovery(rig);
  });

  it('a buffer that its device gives back after it is none of the new life’s', async () => {
    const rig = await SuspendRig.start(setting);
    rig.send(EVENTS, 1);
    const chain = rig.type.port.take(EVENTS)!;
    await rig.initialize();
    rig.send(REQUESTS, 2);
    expect(rig.outstanding(REQUESTS)).toBe(1);
    rig.type.port.giveBack(EVENTS, chain);
    expect(rig.status).toBe(0x0f);
    expect(rig.outstanding(REQUESTS)).toBe(0);
    await expectRecovery(rig);
  });
});

const failures: readonly (readonly [string, (rig: SuspendRig) => void | Promise<void>])[] = [
  [
    'because its back-end does not stop',
    (rig) => {
      rig.type.stopping = 'refuses';
      rig.suspend();
    },
  ],
  [
    'because its back-end does not stop, which is known later',
    async (rig) => {
      rig.type.stopping = 'when told';
      rig.suspend();
      rig.type.steps.shift()!.settle(new Error('stuck'));
      await settle();
    },
  ],
  [
    'because a request does not end within the limit',
    async (rig) => {
      rig.type.answering = 'when told';
      rig.send(REQUESTS, 1);
      rig.suspend();
      await rig.clock.advance(999);
      expect(rig.status).toBe(0x1f);
      await rig.clock.advance(2);
    },
  ],
  [
    'because its back-end takes too long to stop',
    async (rig) => {
      rig.type.stopping = 'when told';
      rig.suspend();
      await rig.clock.advance(1001);
    },
  ],
  [
    'because its memory is gone when a request ends',
    (rig) => {
      rig.type.answering = 'when told';
      rig.send(REQUESTS, 1);
      rig.suspend();
      const [region] = rig.memory.regions;
      const { bytes } = region!;
      rig.memory.remove(region!);
      for (const { queue, chain } of rig.type.held.splice(0)) rig.type.port.complete(queue, chain, 0);
      rig.memory.add(0, bytes);
    },
  ],
  [
    'because its back-end fails meanwhile',
    (rig) => {
      rig.type.answering = 'when told';
      rig.send(REQUESTS, 1);
      rig.suspend();
      rig.type.port.fail(new Error('the back-end is lost'));
    },
  ],
];

describe.each(settings)('a suspend that fails, over %s,', (_, setting) => {
  it.each(failures)(
    '%s, shows DEVICE_NEEDS_RESET and never the suspend, tells it, and only a reset helps',
    async (_name, fail) => {
      const rig = await SuspendRig.start(setting);
      rig.expose(MORE_REQUESTS, 9);
      await fail(rig);
      expect(rig.status).toBe(0x4f);
      neverShown(rig, '1b', '5b', '5f', '0f');
      expect(rig.events.slice(-2)).toEqual(['status 4f', 'config']);
      rig.events.length = 0;
      await rig.untouched(async () => {
        for (const value of [0x1f, 0x0f, 0x1b, 0x4f, 0x5f]) rig.write(value);
        for (const queue of rig.queues.keys()) rig.kick(queue);
        while (rig.type.held.length > 0) rig.type.answer();
        for (const step of rig.type.steps.splice(0)) step.settle();
        await rig.clock.advance(10_000);
      });
      expect(rig.status).toBe(0x4f);
      expect(rig.events).toEqual([]);
      expect(rig.outstanding(MORE_REQUESTS)).toBe(1);
      await expectRecovery(rig);
    },
  );
});

describe.each(settings)('a resume that fails, over %s,', (_, setting) => {
  it.each([
    ['at once', true],
    ['later', false],
  ] as const)(
    'because its back-end does not start, %s, shows 0x5b in silence, and a reset recovers',
    async (_name, atOnce) => {
      const rig = await SuspendRig.start(setting);
      rig.expose(REQUESTS, 1);
      rig.suspend();
      rig.events.length = 0;
      rig.type.starting = atOnce ? 'refuses' : 'when told';
      rig.resume();
      rig.type.steps.shift()?.settle(new Error('cold'));
      await settle();
      expect(rig.status).toBe(0x5b);
      expect(rig.events).toEqual(['status 5b']);
      for (const value of [0x1f, 0x0f, 0x5f]) rig.write(value);
      rig.kick(REQUESTS);
      rig.type.change(3);
      expect(rig.status).toBe(0x5b);
      expect(rig.events).toEqual(['status 5b']);
      await expectRecovery(rig);
    },
  );

  it('because something else was used while it was suspended, shows 0x5b, and a reset recovers', async () => {
    const rig = await SuspendRig.start(setting);
    const split = !setting.ring.anySize;
    rig.send(REQUESTS, 1);
    rig.suspend();
    rig.events.length = 0;
    const { view } = rig.memory.regions[0]!;
    const { layout } = rig.queues[REQUESTS]!;
    // The used index; the flags of the last descriptor, which is used in this round.
    if (split) view.setUint16(layout.deviceArea + 2, 77, true);
    else view.setUint16(layout.descriptorArea + 16 * layout.size - 2, 0x8080, true);
    rig.resume();
    expect(rig.status).toBe(0x5b);
    expect(rig.events).toEqual(['status 5b']);
    expect(rig.device.failure?.message).toMatch(split ? /split\.driver\.used\.index/ : /packed\.driver\.desc\.used/);
    await expectRecovery(rig);
  });

  it('because the memory is gone, shows 0x5b, and a reset recovers', async () => {
    const rig = await SuspendRig.start(setting);
    rig.suspend();
    rig.events.length = 0;
    const [region] = rig.memory.regions;
    const { bytes } = region!;
    rig.memory.remove(region!);
    rig.resume();
    expect(rig.status).toBe(0x5b);
    expect(rig.events).toEqual(['status 5b']);
    rig.memory.add(0, bytes);
    await expectRecovery(rig);
  });
});

describe.each(settings.filter(([, { ring }]) => !ring.anySize))('a resume that fails, over %s,', (_, setting) => {
  it('because the available index makes no sense, shows 0x5b, and a reset recovers', async () => {
    const rig = await SuspendRig.start(setting);
    rig.send(REQUESTS, 1, 2);
    rig.suspend();
    for (const jump of [-1, 9, 0x8000]) {
      const { view } = rig.memory.regions[0]!;
      const index = rig.queues[REQUESTS]!.layout.driverArea + 2;
      view.setUint16(index, view.getUint16(index, true) + jump, true);
      rig.events.length = 0;
      rig.resume();
      expect(rig.status).toBe(0x5b);
      neverShown(rig, '0f');
      await expectRecovery(rig);
      rig.send(REQUESTS, 1, 2);
      rig.suspend();
    }
  });
});

describe.each(settings)('a device, over %s,', (_, setting) => {
  it('that loses its back-end while suspended shows 0x5b in silence, also to a resume', async () => {
    const rig = await SuspendRig.start(setting);
    rig.expose(REQUESTS, 1);
    rig.suspend();
    rig.events.length = 0;
    rig.type.port.fail(new Error('the disk was pulled out'));
    expect(rig.status).toBe(0x5b);
    rig.resume();
    rig.kick(REQUESTS);
    expect(rig.status).toBe(0x5b);
    expect(rig.events).toEqual(['status 5b']);
    expect(rig.interruptPending ?? false).toBe(false);
    await expectRecovery(rig);
  });

  it('that needs a reset does not suspend', async () => {
    const rig = await SuspendRig.start(setting);
    rig.type.port.fail(new Error('broken'));
    rig.events.length = 0;
    for (const value of [0x1f, 0x1b, 0x5f, 0x4f]) {
      rig.write(value);
      expect(rig.status).toBe(0x4f);
    }
    expect(rig.events).toEqual([]);
    expect(rig.type.log).not.toContain('stop');
    await expectRecovery(rig);
  });

  it('that failed twice tells it once', async () => {
    const rig = await SuspendRig.start(setting);
    rig.type.port.fail(new Error('first'));
    rig.type.port.fail(new Error('second'));
    expect(rig.events).toEqual(['status 4f', 'config']);
    expect(rig.device.failure?.message).toBe('first');
  });
});
