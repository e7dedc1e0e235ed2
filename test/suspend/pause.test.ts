import { describe, expect, it } from 'vitest';
import { StateError } from '../../src/spec/fault.ts';
import { ControlledConfig, EVENTS, MORE_REQUESTS, REQUESTS } from '../support/controlled-type.ts';
import { settle } from '../support/fake-clock.ts';
import { outcome } from '../support/outcome.ts';
import { SuspendRig, settings } from '../support/suspend-rig.ts';

/** Paused, after some traffic, with buffers that wait, and nothing in `events`. */
async function paused(...[setting, options]: Parameters<typeof SuspendRig.start>): Promise<SuspendRig> {
  const rig = await SuspendRig.start(setting, options);
  rig.send(REQUESTS, 1, 2, 3);
  rig.send(EVENTS, 4, 5);
  await rig.device.pause();
  rig.events.length = 0;
  return rig;
}

/** What the driver got. */
function collected(rig: SuspendRig): string[] {
  return rig.events.filter((event) => event.startsWith('collect'));
}

describe.each(settings)('while paused by its host, over %s,', (_, setting) => {
  it('a device shows what it showed, touches no memory and interrupts nobody; then everything is made up for', async () => {
    const rig = await paused(setting);
    let event = 20;
    await rig.untouched(async () => {
      for (const queue of rig.queues.keys()) rig.kick(queue);
      rig.type.arrive(event++);
      rig.type.change(event);
      await rig.clock.advance(60_000);
      expect(rig.status).toBe(0x0f);
    });
    expect(rig.events).toEqual([]);
    rig.expose(MORE_REQUESTS, 7);
    rig.device.continue();
    expect(rig.events[0]).toBe('config');
    expect(collected(rig).toSorted()).toEqual(['collect 1:7', 'collect 2:20', 'collect 2:21']);
    expect([...(await rig.readConfig(0, 1)).bytes]).toEqual([22]);
  });

  it('a device takes configuration writes of its driver', async () => {
    const rig = await paused(setting);
    await rig.transport.writeConfig(ControlledConfig.KNOB, 1, 9);
    expect([...(await rig.readConfig(ControlledConfig.KNOB, 1)).bytes]).toEqual([9]);
    expect(rig.events).toEqual([]);
  });

  it('a device that its driver suspends is suspended, and needs both to let go', async () => {
    const rig = await paused(setting);
    rig.suspend();
    expect(rig.status).toBe(0x1b);
    rig.device.continue();
    expect(rig.status).toBe(0x1b);
    rig.resume();
    expect(rig.status).toBe(0x0f);
    expect(rig.type.log.filter((line) => line === 'stop' || line === 'start')).toEqual(['stop', 'start']);
  });

  it('a device that its driver resumes keeps showing 0x1b until the host lets go', async () => {
    const rig = await SuspendRig.start(setting);
    rig.suspend();
    await rig.device.pause();
    rig.expose(REQUESTS, 1);
    rig.events.length = 0;
    rig.resume();
    await rig.untouched(() => rig.write(0x1f));
    expect(rig.status).toBe(0x1b);
    rig.device.continue();
    expect(rig.events).toEqual(['status 0f', 'used', 'collect 0:1']);
  });

  it('a device that fails shows it, and tells it when the host lets go', async () => {
    const rig = await paused(setting);
    rig.type.port.fail(new Error('lost'));
    expect(rig.events).toEqual(['status 4f']);
    rig.device.continue();
    expect(rig.events).toEqual(['status 4f', 'config']);
    await rig.initialize();
    rig.send(REQUESTS, 1);
    expect(rig.events.at(-1)).toBe('collect 0:1');
  });

  it('a device can be reset and set up by its driver; it serves when the host lets go', async () => {
    const rig = await paused(setting);
    await rig.initialize();
    expect(rig.status).toBe(0x0f);
    rig.send(REQUESTS, 8);
    expect(collected(rig)).toEqual([]);
    expect(rig.device.paused).toBe(true);
    rig.device.continue();
    expect(collected(rig)).toEqual(['collect 0:8']);
  });

  it('a device that its driver resets in the middle of a suspend stays paused', async () => {
    const rig = await paused(setting);
    rig.suspend();
    rig.write(0);
    expect(rig.status).toBe(0);
    expect(rig.device.isQuiet).toBe(true);
    rig.device.continue();
    await rig.initialize();
    rig.send(REQUESTS, 1);
    expect(collected(rig)).toEqual(['collect 0:1']);
  });

  it('a device is saved and goes on in another one', async () => {
    const rig = await paused(setting);
    rig.expose(REQUESTS, 6);
    rig.type.arrive(30);
    rig.move();
    expect(rig.status).toBe(0x0f);
    expect(rig.device.paused).toBe(true);
    expect(collected(rig)).toEqual([]);
    rig.device.continue();
    expect(collected(rig).toSorted()).toEqual(['collect 0:6', 'collect 2:30']);
  });

  it('a device that is not set up yet goes on in another one, with the queues enabled before it was saved and after', async () => {
    const rig = await SuspendRig.make(setting, { leaveOut: [MORE_REQUESTS] });
    await rig.initialize(0x0b);
    await rig.device.pause();
    rig.move();
    rig.expose(REQUESTS, 1);
    rig.write(0x0f);
    rig.move();
    await rig.transport.enableQueue(MORE_REQUESTS, rig.queues[MORE_REQUESTS]!.layout);
    rig.expose(MORE_REQUESTS, 2);
    rig.move();
    rig.device.continue();
    expect(collected(rig)).toEqual(['collect 0:1', 'collect 1:2']);
    rig.send(MORE_REQUESTS, 3);
    expect(collected(rig).at(-1)).toBe('collect 1:3');
  });

  it('a device that was suspended, too, goes on in another one that both have to let go', async () => {
    const rig = await paused(setting);
    rig.suspend();
    rig.move();
    rig.resume();
    expect(rig.status).toBe(0x1b);
    rig.move();
    expect(rig.status).toBe(0x1b);
    rig.device.continue();
    expect(rig.status).toBe(0x0f);
    rig.send(REQUESTS, 6);
    expect(collected(rig)).toEqual(['collect 0:6']);
  });

  it('a device that had failed goes on failed in another one, tells it there, and is left by a reset', async () => {
    const rig = await paused(setting);
    rig.type.port.fail(new Error('lost'));
    rig.move();
    expect(rig.status).toBe(0x4f);
    expect(rig.device.failure?.message).toBe('lost');
    expect(rig.events).toEqual(['status 4f', 'status 4f']);
    rig.device.continue();
    expect(rig.events.at(-1)).toBe('config');
    await rig.initialize();
    rig.send(REQUESTS, 6);
    expect(collected(rig)).toEqual(['collect 0:6']);
  });
});

describe.each(settings)('to pause, over %s,', (_, setting) => {
  it('waits for what is in processing, whose notifications go out before', async () => {
    const rig = await SuspendRig.start(setting);
    rig.type.answering = 'when told';
    rig.send(REQUESTS, 1, 2);
    const result = outcome(rig.device.pause());
    rig.type.answer(1);
    await settle();
    expect(result.value).toBe('pending');
    rig.send(MORE_REQUESTS, 3);
    rig.type.answer();
    await settle();
    expect(result.value).toBe('done');
    const inOrder = setting.ring.features.inOrder === true;
    expect(collected(rig)).toEqual(inOrder ? ['collect 0:1', 'collect 0:2'] : ['collect 0:2', 'collect 0:1']);
    expect(rig.events.filter((event) => event === 'used')).toHaveLength(inOrder ? 1 : 2);
  });

  it('is given up at the limit; the device then goes on, without a kick', async () => {
    const rig = await SuspendRig.start(setting);
    rig.type.answering = 'when told';
    rig.send(REQUESTS, 1);
    const result = outcome(rig.device.pause(200));
    rig.send(MORE_REQUESTS, 2);
    await rig.clock.advance(199);
    expect(result.value).toBe('pending');
    rig.type.answering = 'at once';
    await rig.clock.advance(2);
    expect(result.value).toBeInstanceOf(StateError);
    expect(rig.device.paused).toBe(false);
    expect(collected(rig)).toEqual(['collect 1:2']);
    rig.type.answer();
    expect(rig.outstanding(REQUESTS)).toBe(0);
    expect(rig.status).toBe(0x0f);
  });

  it('is refused for a device that is paused, and for one that is about to be', async () => {
    const rig = await SuspendRig.start(setting);
    rig.type.answering = 'when told';
    rig.send(REQUESTS, 1);
    const result = outcome(rig.device.pause());
    await expect(rig.device.pause()).rejects.toThrow(StateError);
    rig.type.answer();
    await settle();
    expect(result.value).toBe('done');
    await expect(rig.device.pause()).rejects.toThrow(/already held by pause/);
    expect(rig.device.paused).toBe(true);
  });

  it('ends with an error when the host lets go before the device has come to rest', async () => {
    const rig = await SuspendRig.start(setting);
    rig.type.answering = 'when told';
    rig.send(REQUESTS, 1);
    const result = outcome(rig.device.pause());
    rig.device.continue();
    await settle();
    expect(result.value).toBeInstanceOf(StateError);
    rig.type.answer();
    expect(rig.outstanding(REQUESTS)).toBe(0);
    rig.device.continue();
    await rig.device.pause();
    rig.device.continue();
  });

  it('fails when the back-end does not stop; the device goes on', async () => {
    const rig = await SuspendRig.start(setting);
    rig.type.stopping = 'refuses';
    await expect(rig.device.pause()).rejects.toThrow('the back-end does not stop');
    expect(rig.status).toBe(0x0f);
    rig.send(REQUESTS, 1);
    expect(collected(rig)).toEqual(['collect 0:1']);
  });

  it('and a suspend at the same time: the end of what is in processing is the end of both', async () => {
    const rig = await SuspendRig.start(setting);
    rig.type.answering = 'when told';
    rig.send(REQUESTS, 1);
    rig.suspend();
    const result = outcome(rig.device.pause());
    rig.type.answer();
    await settle();
    expect([result.value, rig.status]).toEqual(['done', 0x1b]);
    rig.device.continue();
    rig.resume();
    expect(rig.status).toBe(0x0f);
  });

  it('and a suspend whose limit comes first: that fails, the pause goes on', async () => {
    const rig = await SuspendRig.start(setting);
    rig.type.answering = 'when told';
    rig.send(REQUESTS, 1);
    rig.suspend();
    const result = outcome(rig.device.pause(5000));
    await rig.clock.advance(1001);
    expect([result.value, rig.status]).toEqual(['pending', 0x4f]);
    rig.type.answer();
    await settle();
    expect(result.value).toBe('done');
    rig.device.continue();
    await rig.initialize();
    rig.type.answering = 'at once';
    rig.send(REQUESTS, 2);
    expect(collected(rig)).toEqual(['collect 0:2']);
  });

  it('while the driver resumes: rest comes after the back-end has started, and the status stays', async () => {
    const rig = await SuspendRig.start(setting);
    rig.suspend();
    rig.type.starting = 'when told';
    rig.resume();
    const result = outcome(rig.device.pause());
    expect(rig.status).toBe(0x1b);
    rig.type.steps.shift()!.settle();
    await settle();
    expect([result.value, rig.status]).toEqual(['done', 0x1b]);
    rig.move();
    expect(rig.status).toBe(0x1b);
    rig.device.continue();
    expect(rig.status).toBe(0x0f);
  });

  it('while the back-end starts, which it then does not, is an error; so is a suspend: the device needs a reset', async () => {
    const rig = await SuspendRig.start(setting);
    await rig.device.pause();
    rig.type.change(1);
    rig.type.starting = 'when told';
    rig.device.continue();
    rig.suspend();
    expect(rig.status).toBe(0x1f);
    const result = outcome(rig.device.pause());
    rig.type.steps.shift()!.settle(new Error('cold'));
    await settle();
    expect(rig.events).toEqual(['status 1f', 'status 4f', 'config']);
    expect(result.value).toMatchObject({ message: 'cold' });
    await rig.clock.advance(60_000);
    expect(rig.events).toHaveLength(3);
    rig.type.starting = 'at once';
    await rig.initialize();
    rig.send(REQUESTS, 1);
    expect(collected(rig)).toEqual(['collect 0:1']);
  });

  it('and then to go on with a back-end that does not start ends in DEVICE_NEEDS_RESET, told at once', async () => {
    const rig = await SuspendRig.start(setting);
    await rig.device.pause();
    rig.type.starting = 'refuses';
    rig.device.continue();
    expect(rig.events).toEqual(['status 4f', 'config']);
    rig.type.starting = 'at once';
    await rig.initialize();
    rig.send(REQUESTS, 1);
    expect(collected(rig)).toEqual(['collect 0:1']);
  });

  it('a failure meanwhile is told to the driver even when the back-end does not start again', async () => {
    const rig = await paused(setting);
    rig.type.starting = 'when told';
    rig.type.port.fail(new Error('lost'));
    expect(rig.events).toEqual(['status 4f']);
    rig.device.continue();
    rig.type.steps.shift()!.settle(new Error('cold'));
    await settle();
    expect(rig.events).toEqual(['status 4f', 'config']);
  });
});
