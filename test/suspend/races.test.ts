import { describe, expect, it } from 'vitest';
import { EVENTS, MORE_REQUESTS, REQUESTS } from '../support/controlled-type.ts';
import { settle } from '../support/fake-clock.ts';
import { SuspendRig, settings } from '../support/suspend-rig.ts';

/** Suspending, with one request in processing, and nothing in `events`. */
async function suspending(...[setting, options]: Parameters<typeof SuspendRig.start>): Promise<SuspendRig> {
  const rig = await SuspendRig.start(setting, options);
  rig.type.answering = 'when told';
  rig.send(REQUESTS, 1);
  rig.suspend();
  rig.events.length = 0;
  return rig;
}

/** The shown values, in their order. */
function shown(rig: SuspendRig): string[] {
  return rig.events.filter((event) => event.startsWith('status'));
}

describe.each(settings)('races, over %s:', (_, setting) => {
  it('a suspend that is done within the write is seen by the first read', async () => {
    const rig = await SuspendRig.start(setting);
    rig.suspend();
    expect(rig.status).toBe(0x1b);
  });

  it('a second 0x1f that was meant for the suspending device resumes the suspended one: nobody can tell them apart', async () => {
    const rig = await suspending(setting);
    expect(rig.status).toBe(0x1f);
    rig.type.answer();
    rig.write(0x1f);
    expect(shown(rig)).toEqual(['status 1b', 'status 0f']);
  });

  it('a second 0x1f that was meant for the resuming device suspends the running one', async () => {
    const rig = await SuspendRig.start(setting);
    rig.suspend();
    rig.type.starting = 'when told';
    rig.resume();
    expect(rig.status).toBe(0x1b);
    rig.type.steps.shift()!.settle();
    await settle();
    rig.write(0x1f);
    expect(rig.status).toBe(0x1b);
    expect(shown(rig)).toEqual(['status 1f', 'status 1b', 'status 0f', 'status 1f', 'status 1b']);
  });

  it('FAILED, added to what was read while suspending, does not resume the device that is suspended by now', async () => {
    const rig = await suspending(setting);
    const read = rig.status;
    rig.type.answer();
    rig.write(read | 0x80);
    expect(rig.status).toBe(0x9b);
    expect(rig.type.log).not.toContain('start');
  });

  it('a change while the back-end stops is told before the flip, one after it is held', async () => {
    const rig = await SuspendRig.start(setting);
    rig.type.stopping = 'when told';
    rig.suspend();
    rig.type.change(1);
    rig.type.steps.shift()!.settle();
    await settle();
    rig.type.change(2);
    expect(rig.events).toEqual(['status 1f', 'config', 'status 1b']);
    expect([...(await rig.readConfig(0, 1)).bytes]).toEqual([1]);
    rig.resume();
    expect(rig.events.slice(3)).toEqual(['status 0f', 'config']);
    expect([...(await rig.readConfig(0, 1)).bytes]).toEqual([2]);
  });

  it('a change from within the notification of the last used buffer is told before the flip', async () => {
    const rig = await suspending(setting);
    rig.onInterrupt = () => rig.type.change(1);
    rig.type.answer();
    expect(rig.events).toEqual(['used', 'config', 'status 1b']);
  });

  it('of a failure and the end of the suspend the first wins', async () => {
    const rig = await suspending(setting);
    rig.onInterrupt = () => rig.type.port.fail(new Error('lost in the last moment'));
    rig.type.answer();
    await rig.clock.advance(2000);
    expect(rig.events).toEqual(['used', 'status 4f', 'config']);

    const late = await suspending(setting);
    late.type.answer();
    late.type.port.fail(new Error('lost a moment later'));
    expect(late.events).toEqual(['used', 'collect 0:1', 'status 1b', 'status 5b']);
  });

  it('a reset from within the notification of the last used buffer is the last word', async () => {
    const rig = await suspending(setting);
    rig.onInterrupt = () => rig.write(0);
    rig.type.answer();
    await rig.clock.advance(2000);
    expect(rig.events).toEqual(['used', 'status 00']);
    expect(rig.status).toBe(0);
  });

  it('a reset and a new start from within that notification run, and the old suspend is forgotten', async () => {
    const rig = await suspending(setting);
    const restarted: Promise<void>[] = [];
    rig.onInterrupt = () => {
      rig.onInterrupt = () => rig.collect();
      restarted.push(rig.initialize());
    };
    rig.type.answer();
    await Promise.all(restarted);
    await rig.clock.advance(2000);
    expect(rig.status).toBe(0x0f);
    expect(shown(rig)).not.toContain('status 1b');
    rig.type.answering = 'at once';
    rig.send(REQUESTS, 2);
    expect(rig.events.slice(-2)).toEqual(['used', 'collect 0:2']);
  });

  it('a kick from within the notification that a batch gets finds the gate closed once the suspend was asked for', async () => {
    const rig = await SuspendRig.start(setting);
    rig.onInterrupt = () => {
      rig.collect();
      if (rig.status === 0x0f) rig.suspend();
      rig.expose(REQUESTS, 3);
      rig.kick(REQUESTS);
      rig.kick(MORE_REQUESTS);
    };
    rig.expose(MORE_REQUESTS, 2);
    rig.send(REQUESTS, 1);
    expect(rig.status).toBe(0x1b);
    expect(rig.type.log.filter((line) => line.startsWith('take'))).toEqual(['take 0']);
    rig.onInterrupt = () => rig.collect();
    rig.resume();
    expect(rig.events.filter((event) => event.startsWith('collect'))).toEqual(
      ['0:1', '0:3', '1:2'].map((which) => `collect ${which}`),
    );
  });

  it('a buffer whose processing ends within the notification of a batch is shown and told, too', async () => {
    const rig = await SuspendRig.start(setting);
    // The first of two is answered at once, and the notification of that ends the other.
    let requests = 0;
    rig.type.onRequest = () => {
      rig.type.answering = requests++ === 0 ? 'at once' : 'when told';
    };
    rig.onInterrupt = () => {
      rig.collect();
      if (rig.type.held.length > 0) rig.type.answer();
    };
    rig.send(REQUESTS, 1, 2);
    expect(rig.events).toEqual(['used', 'collect 0:1', 'used', 'collect 0:2']);
    rig.suspend();
    expect(rig.device.save().body.state).toBe('suspended');
  });

  it('within the notification of the last used buffer the device is not yet suspended', async () => {
    const rig = await suspending(setting);
    const seen: number[] = [];
    rig.onInterrupt = () => seen.push(rig.status);
    rig.type.answer();
    expect(seen).toEqual([0x1f]);
    expect(rig.status).toBe(0x1b);
  });

  it('a kick that was late for the suspend is an ordinary one after the resume', async () => {
    const rig = await SuspendRig.start(setting);
    rig.send(EVENTS, 1);
    rig.expose(REQUESTS, 2);
    rig.suspend();
    rig.device.observer = { statusShown: () => rig.kick(REQUESTS) };
    rig.resume();
    rig.kick(REQUESTS);
    rig.kick(EVENTS);
    expect(rig.type.log.filter((line) => line.startsWith('take'))).toEqual(['take 0']);
    expect(rig.events.filter((event) => event.startsWith('collect'))).toEqual(['collect 0:2']);
    expect(rig.status).toBe(0x0f);
  });

  it('a suspend from within the showing of a resume loses no change and no buffer', async () => {
    const rig = await SuspendRig.start(setting);
    rig.suspend();
    rig.expose(REQUESTS, 1);
    rig.type.change(7);
    rig.device.observer = {
      statusShown: (status) => {
        if (status !== 0x0f) return;
        rig.device.observer = undefined;
        rig.suspend();
      },
    };
    rig.events.length = 0;
    rig.resume();
    expect(rig.status).toBe(0x1b);
    expect(rig.outstanding(REQUESTS)).toBe(1);
    rig.resume();
    expect(rig.status).toBe(0x0f);
    expect(rig.events.filter((event) => event === 'config')).toHaveLength(1);
    expect(rig.outstanding(REQUESTS)).toBe(0);
    expect([...(await rig.readConfig(0, 1)).bytes]).toEqual([7]);
  });
});
