import { describe, expect, it } from 'vitest';
import { EVENTS, MORE_REQUESTS, REQUESTS } from '../support/controlled-type.ts';
import { settle } from '../support/fake-clock.ts';
import { SuspendRig, settings } from '../support/suspend-rig.ts';

describe.each(settings)('entering a suspend, over %s:', (_, setting) => {
  it('0x1f from running ends with SUSPEND=1, DRIVER_OK=0 and all other bits as they were', async () => {
    const rig = await SuspendRig.start(setting);
    rig.write(0x1f);
    expect(rig.status).toBe(0x1b);
    expect(rig.events).toEqual(['status 1f', 'status 1b']);
  });

  it('0x1b from running, with DRIVER_OK dropped, is a suspend request as well', async () => {
    const rig = await SuspendRig.start(setting);
    rig.write(0x1b);
    expect(rig.status).toBe(0x1b);
  });

  it('a request in processing is in the used ring, and its notification out, before the device shows that it is suspended', async () => {
    const rig = await SuspendRig.start(setting);
    rig.type.answering = 'when told';
    rig.send(REQUESTS, 7);
    rig.suspend();
    expect(rig.status).toBe(0x1f);
    await rig.clock.advance(900);
    expect(rig.status).toBe(0x1f);
    rig.type.answer();
    expect(rig.events).toEqual(['status 1f', 'used', 'collect 0:7', 'status 1b']);
  });

  it('the interrupt for it is pending in the transport when the device shows that it is suspended', async () => {
    const rig = await SuspendRig.start(setting);
    rig.type.answering = 'when told';
    rig.send(REQUESTS, 7);
    rig.suspend();
    const pending: unknown[] = [];
    rig.onInterrupt = () => {};
    rig.device.observer = {
      usedNotified: () => pending.push('notified'),
      statusShown: () => pending.push('shown'),
    };
    rig.type.answer();
    expect(pending).toEqual(['notified', 'shown']);
    expect(rig.collect()[REQUESTS]).toEqual([7]);
  });

  it('requests of several queues that end out of order are all used before', async () => {
    const rig = await SuspendRig.start(setting);
    rig.type.answering = 'when told';
    rig.send(REQUESTS, 1, 2, 3);
    rig.send(MORE_REQUESTS, 4, 5, 6);
    rig.suspend();
    for (const which of [4, 1, 3, 0, 1]) {
      rig.type.answer(which);
      expect(rig.status).toBe(0x1f);
    }
    rig.type.answer();
    expect(rig.status).toBe(0x1b);
    const order =
      setting.ring.features.inOrder === true
        ? ['0:1', '0:2', '1:4', '1:5', '1:6', '0:3']
        : ['1:5', '0:2', '1:6', '0:1', '1:4', '0:3'];
    expect(rig.events.filter((event) => event.startsWith('collect'))).toEqual(order.map((which) => `collect ${which}`));
    expect(rig.events.at(-1)).toBe('status 1b');
  });

  it('a buffer that was available but not taken stays unused, and is used after the resume without a kick', async () => {
    const rig = await SuspendRig.start(setting);
    rig.expose(REQUESTS, 1, 2);
    rig.expose(MORE_REQUESTS, 3);
    rig.suspend();
    expect(rig.status).toBe(0x1b);
    expect(rig.type.log).toEqual(['reset', 'stop']);
    expect(rig.collect().flat()).toEqual([]);
    rig.resume();
    expect(rig.status).toBe(0x0f);
    expect(rig.collect()).toEqual([[], [], []]);
    expect(rig.events.slice(-5)).toEqual(['used', 'collect 0:1', 'collect 0:2', 'used', 'collect 1:3']);
  });

  it('buffers that wait for events do not delay it, and none is used for it', async () => {
    const rig = await SuspendRig.start(setting);
    rig.send(EVENTS, 1, 2, 3, 4, 5, 6, 7, 8);
    rig.suspend();
    expect(rig.status).toBe(0x1b);
    expect(rig.device.inFlight).toBe(0);
    expect(rig.outstanding(EVENTS)).toBe(8);
    rig.resume();
    expect(rig.outstanding(EVENTS)).toBe(8);
    rig.type.arrive(99);
    expect(rig.events.slice(-2)).toEqual(['used', 'collect 2:99']);
  });

  it('what was used in a batch is published and told before', async () => {
    const rig = await SuspendRig.start(setting);
    // Another CPU of the driver asks for the suspend while the device is in the middle of a batch.
    rig.type.onRequest = () => {
      if (rig.type.log.filter((line) => line === 'take 0').length === 2) rig.suspend();
    };
    rig.send(REQUESTS, 1, 2, 3);
    expect(rig.status).toBe(0x1b);
    expect(rig.events).toEqual(['status 1f', 'used', 'collect 0:1', 'collect 0:2', 'status 1b']);
    rig.type.onRequest = undefined;
    rig.resume();
    expect(rig.events.slice(-2)).toEqual(['used', 'collect 0:3']);
  });

  it('a command in processing is acknowledged, and what it changes of the configuration is shown and told, before', async () => {
    const rig = await SuspendRig.start(setting);
    rig.type.answering = 'when told';
    rig.send(REQUESTS, 1);
    rig.suspend();
    rig.type.change(5);
    rig.type.answer();
    expect(rig.events).toEqual(['status 1f', 'config', 'used', 'collect 0:1', 'status 1b']);
    const { bytes } = await rig.readConfig(0, 4);
    expect([...bytes]).toEqual([5, 0, 0, 0]);
  });

  it('a configuration write while it is suspending has its effect as ever', async () => {
    const rig = await SuspendRig.start(setting);
    rig.type.answering = 'when told';
    rig.send(REQUESTS, 1);
    rig.suspend();
    await rig.transport.writeConfig(4, 1, 9);
    expect(rig.type.knob).toBe(9);
    rig.type.answer();
    expect([...(await rig.readConfig(4, 1)).bytes]).toEqual([9]);
  });

  it('no buffer is taken any more, kicked or not, while it is suspending', async () => {
    const rig = await SuspendRig.start(setting);
    rig.type.answering = 'when told';
    rig.send(REQUESTS, 1);
    rig.suspend();
    rig.send(REQUESTS, 2);
    rig.send(MORE_REQUESTS, 3);
    rig.send(EVENTS, 4);
    rig.type.arrive(11);
    expect(rig.device.inFlight).toBe(1);
    rig.type.answer();
    expect(rig.status).toBe(0x1b);
    expect(rig.events.filter((event) => event.startsWith('collect'))).toEqual(['collect 0:1']);
    rig.type.answering = 'at once';
    rig.resume();
    expect(rig.events.filter((event) => event.startsWith('collect')).slice(1)).toEqual([
      'collect 0:2',
      'collect 1:3',
      'collect 2:11',
    ]);
  });

  it.each([
    ['a second request', 0x1f],
    ['SUSPEND without DRIVER_OK', 0x1b],
    ['DRIVER_OK without SUSPEND, which does not cancel it', 0x0f],
    ['lower bits alone, which clear nothing', 0x0b],
    ['fewer lower bits', 0x03],
    ['SUSPEND alone', 0x10],
    ['reserved bits', 0x2f],
    ['DEVICE_NEEDS_RESET, which belongs to the device', 0x5f],
  ])('while it is suspending %s changes nothing: suspended once, not resumed', async (_name, value) => {
    const rig = await SuspendRig.start(setting);
    rig.type.answering = 'when told';
    rig.send(REQUESTS, 1);
    rig.suspend();
    rig.write(value);
    expect(rig.status).toBe(0x1f);
    rig.type.answer();
    await settle();
    expect(rig.status).toBe(0x1b);
    expect(rig.type.log.filter((line) => line === 'stop')).toHaveLength(1);
    expect(rig.type.log).not.toContain('start');
  });

  it('FAILED while it is suspending is shown, what is in processing ends, and only a reset helps', async () => {
    const rig = await SuspendRig.start(setting);
    rig.type.answering = 'when told';
    rig.send(REQUESTS, 1);
    rig.suspend();
    rig.write(0x9f);
    expect(rig.status).toBe(0x9f);
    rig.type.answer();
    expect(rig.status).toBe(0x9b);
    for (const value of [0x1f, 0x0f, 0x9f]) {
      rig.write(value);
      expect(rig.status).toBe(0x9b);
    }
    await rig.initialize();
    rig.type.answering = 'at once';
    rig.send(REQUESTS, 2);
    expect(rig.events.slice(-2)).toEqual(['used', 'collect 0:2']);
  });

  it('FAILED together with SUSPEND does not suspend a running device', async () => {
    const rig = await SuspendRig.start(setting);
    rig.write(0x9f);
    expect(rig.status).toBe(0x8f);
    expect(rig.type.log).not.toContain('stop');
  });

  it('a queue that is enabled while it is suspending is served after the resume', async () => {
    const rig = await SuspendRig.start(setting, { leaveOut: [MORE_REQUESTS] });
    rig.type.answering = 'when told';
    rig.send(REQUESTS, 1);
    rig.suspend();
    await rig.transport.enableQueue(MORE_REQUESTS, rig.queues[MORE_REQUESTS]!.layout);
    rig.expose(MORE_REQUESTS, 2);
    rig.type.answer();
    expect(rig.status).toBe(0x1b);
    rig.type.answering = 'at once';
    rig.resume();
    expect(rig.events.slice(-2)).toEqual(['used', 'collect 1:2']);
  });

  it('a buffer that its device gives back unused is not in processing any more', async () => {
    const rig = await SuspendRig.start(setting);
    rig.send(EVENTS, 1);
    const chain = rig.type.port.take(EVENTS)!;
    rig.suspend();
    expect(rig.status).toBe(0x1f);
    rig.type.port.giveBack(EVENTS, chain);
    expect(rig.status).toBe(0x1b);
    rig.resume();
    rig.type.arrive(5);
    expect(rig.events.slice(-2)).toEqual(['used', 'collect 2:5']);
  });
});
