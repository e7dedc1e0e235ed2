import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { StatusWaitError } from '../../../src/driver/status-wait.ts';
import { StateError } from '../../../src/spec/fault.ts';
import { Feature, featureSet } from '../../../src/spec/features.ts';
import { type DriverRig, startDriverRig } from '../../support/driver-rig.ts';
import { settle } from '../../support/fake-clock.ts';
import { outcome } from '../../support/outcome.ts';
import { watchRejections } from '../../support/unhandled-rejections.ts';

const rejections = watchRejections();
beforeEach(rejections.start);
afterEach(rejections.stop);

/** The device answers a suspend at once, and a resume. */
async function suspendedRig(): Promise<DriverRig> {
  const rig = await startDriverRig();
  rig.device.onStatus = (value) => (value === 0x1f ? 0x1b : value);
  await rig.driver.suspend();
  rig.device.takeLog();
  return rig;
}

describe('suspending', () => {
  it('is one write of SUSPEND with all other bits as they are, and reads from then on', async () => {
    const { device, driver, clock } = await startDriverRig();
    const result = outcome(driver.suspend());
    await clock.advance(1000);
    expect(device.takeLog()).toEqual(['status 1f']);
    expect(result.value).toBe('pending');
    device.status = 0x1b;
    await clock.advance(100);
    expect(result.value).toBe('done');
    expect(device.takeLog()).toEqual([]);
    expect(driver.driver.state).toBe('suspended');
  });

  it.each([
    ['SUSPEND not shown yet', [0x0f, 0x0f, 0x1b]],
    ['both bits shown', [0x1f, 0x1f, 0x1b]],
    ['neither bit shown', [0x0b, 0x1b]],
    ['first one, then the other', [0x0f, 0x1f, 0x1f, 0x1b]],
    ['done at the first look', [0x1b]],
    ['with a reserved bit', [0x3f, 0x3b]],
  ])('is over when SUSPEND is 1 and DRIVER_OK is 0, whatever is seen before: %s', async (_, seen) => {
    const { device, driver, clock } = await startDriverRig();
    const values = [...seen];
    device.onStatus = () => values[0]!;
    device.onRead = () => {
      if (values.length > 0 && device.log.length > 0) device.status = values.shift()!;
    };
    const suspended = driver.suspend();
    await clock.advance(1000);
    await suspended;
    expect(values).toEqual([]);
    expect(device.takeLog()).toEqual(['status 1f']);
  });

  it('is refused without the feature, and nothing is touched', async () => {
    const rig = await startDriverRig();
    rig.device.offered = featureSet(Feature.VERSION_1);
    await rig.driver.initialize();
    rig.device.takeLog();
    await expect(rig.driver.suspend()).rejects.toThrow(/does not offer VIRTIO_F_SUSPEND/);
    expect(rig.device.takeLog()).toEqual([]);
    expect(rig.driver.driver.state).toBe('running');
  });

  it('never takes bit 42 for the feature', async () => {
    const rig = await startDriverRig();
    rig.device.offered = featureSet(Feature.VERSION_1, 42);
    await rig.driver.initialize();
    expect(rig.device.accepted).toBe(featureSet(Feature.VERSION_1));
    await expect(rig.driver.suspend()).rejects.toThrow(StateError);
  });

  it('is refused before the device runs, while it suspends, and when it is suspended', async () => {
    const { device, driver, clock } = await startDriverRig();
    const first = driver.suspend();
    await expect(driver.suspend()).rejects.toThrow(/being suspended/);
    await expect(driver.resume()).rejects.toThrow(/not suspended/);
    device.status = 0x1b;
    await settle();
    device.status = 0x1b;
    await clock.advance(100);
    await first;
    await expect(driver.suspend()).rejects.toThrow(/call resume/);
    expect(device.takeLog()).toEqual(['status 1f']);
    await driver.driver.reset();
    await expect(driver.suspend()).rejects.toThrow(/call initialize/);
  });

  it('exposes nothing, kicks nothing and writes no configuration until the device runs again', async () => {
    const { device, driver, clock, answer } = await startDriverRig();
    const before = Array.from({ length: 5 }, (_, n) => outcome(driver.read(n, 512)));
    await settle();
    expect(device.takeLog()).toEqual(['kick 0']);
    const exposed = device.queues[0]!;
    answer(1);
    const suspended = driver.suspend();
    // Offered in the same turn as the suspend, or later: refused. Offered before but not exposed yet: stays so.
    await expect(driver.read(9, 512)).rejects.toThrow(/being suspended/);
    await settle();
    device.status = 0x1b;
    await clock.advance(100);
    await suspended;
    await expect(driver.write(1, new Uint8Array(512))).rejects.toThrow(/call resume\(\) first/);
    await expect(driver.flush()).rejects.toThrow(StateError);
    await expect(driver.driver.writeConfig({ offset: 32, bytes: 1 }, 1)).rejects.toThrow(StateError);
    expect(device.takeLog()).toEqual(['status 1f']);
    device.onStatus = () => 0x1b;
    const resumed = driver.resume();
    await clock.advance(100);
    expect(device.takeLog()).toEqual(['status 1f']);
    device.status = 0x0f;
    await clock.advance(100);
    await resumed;
    // Two requests fit the queue of 8 descriptors; one was answered, so there was room for a third.
    expect(device.takeLog()).toEqual(['kick 0']);
    while (before.some(({ value }) => value === 'pending')) {
      let taken = 0;
      for (let chain = exposed.take(); chain !== undefined; chain = exposed.take()) {
        chain.writeU8(chain.writableBytes - 1, 0);
        exposed.complete(chain, chain.writableBytes);
        taken++;
      }
      expect(taken).toBeGreaterThan(0);
      exposed.publish();
      device.onUsedBuffer?.();
      await settle();
    }
    expect(before.map(({ value }) => value)).toEqual(Array(5).fill('done'));
  });

  it('keeps a request that was offered but not exposed where it is, and exposes it after the resume', async () => {
    const { device, driver, clock, answer } = await startDriverRig();
    const read = outcome(driver.read(0, 512));
    const suspended = driver.suspend();
    await settle();
    expect(device.queues[0]!.take()).toBeUndefined();
    device.status = 0x1b;
    await clock.advance(10);
    await suspended;
    device.onStatus = () => 0x0f;
    await driver.resume();
    answer();
    await settle();
    expect(read.value).toBe('done');
    expect(device.takeLog()).toEqual(['status 1f', 'status 1f', 'kick 0']);
  });

  it('hands back what the device uses while it suspends, with an interrupt or without', async () => {
    const { device, driver, clock, answer } = await startDriverRig();
    const reads = [outcome(driver.read(0, 512)), outcome(driver.read(1, 512))];
    await settle();
    const suspended = driver.suspend();
    await settle();
    answer(1);
    await settle();
    expect(reads.map(({ value }) => value)).toEqual(['done', 'pending']);
    const { onUsedBuffer } = device;
    device.onUsedBuffer = undefined;
    answer(1);
    device.onUsedBuffer = onUsedBuffer;
    device.status = 0x1b;
    await clock.advance(100);
    await suspended;
    expect(reads.map(({ value }) => value)).toEqual(['done', 'done']);
  });

  it('copes with a configuration interrupt and with spurious ones meanwhile', async () => {
    const { device, driver, clock } = await startDriverRig();
    const suspended = driver.suspend();
    device.onConfigChange?.();
    device.onUsedBuffer?.();
    await settle();
    device.status = 0x1b;
    device.onConfigChange?.();
    await clock.advance(100);
    await suspended;
    device.onUsedBuffer?.();
    device.onConfigChange?.();
    await settle();
    expect(driver.driver.state).toBe('suspended');
  });

  it('leaves buffers that the device did not finish where they are', async () => {
    const { device, driver, clock, answer, allocator } = await startDriverRig();
    const read = outcome(driver.read(0, 512));
    await settle();
    const suspended = driver.suspend();
    device.status = 0x1b;
    await settle();
    device.status = 0x1b;
    await clock.advance(100);
    await suspended;
    const free = allocator.freeBytes;
    await clock.advance(60_000);
    expect(read.value).toBe('pending');
    expect(allocator.freeBytes).toBe(free);
    device.onStatus = () => 0x0f;
    await driver.resume();
    answer();
    await settle();
    expect(read.value).toBe('done');
  });
});

describe('resuming', () => {
  it('is one write of DRIVER_OK with all other bits kept', async () => {
    const { device, driver, clock } = await suspendedRig();
    device.onStatus = () => 0x1b;
    const result = outcome(driver.resume());
    await clock.advance(1000);
    expect(result.value).toBe('pending');
    device.status = 0x0f;
    await clock.advance(100);
    expect(result.value).toBe('done');
    expect(device.takeLog()).toEqual(['status 1f']);
  });

  it.each([
    ['as suspended', [0x1b, 0x1b, 0x0f]],
    ['both bits shown', [0x1f, 0x0f]],
    ['neither bit shown', [0x0b, 0x0f]],
    ['running at the first look', [0x0f]],
  ])('is over when SUSPEND is 0 and DRIVER_OK is 1, whatever is seen before: %s', async (_, seen) => {
    const { device, driver, clock } = await suspendedRig();
    const values = [...seen];
    device.onStatus = () => values[0]!;
    device.onRead = () => {
      if (values.length > 0 && device.log.length > 0) device.status = values.shift()!;
    };
    const resumed = driver.resume();
    await clock.advance(1000);
    await resumed;
    expect(values).toEqual([]);
  });

  it('looks at the used rings, reads the configuration again, and kicks queues that hold buffers', async () => {
    const { device, driver, clock } = await startDriverRig();
    const read = outcome(driver.read(0, 512));
    await settle();
    device.onStatus = (value) => (value === 0x1f ? 0x1b : value);
    await driver.suspend();
    device.takeLog();
    let capacity = 0;
    driver.onInfoChange = (info) => {
      capacity = info.capacitySectors;
    };
    device.config[0] = 128;
    device.onStatus = () => 0x0f;
    await driver.resume();
    await settle();
    expect(capacity).toBe(128);
    expect(device.takeLog()).toEqual(['status 1f', 'kick 0']);
    expect(read.value).toBe('pending');
    expect(clock.pending).toBe(0);
  });
});

describe('a device that fails', () => {
  const phases = ['suspend', 'resume'] as const;
  for (const phase of phases) {
    const start = async (): Promise<{
      rig: DriverRig;
      result: { value: unknown };
      read: { value: unknown };
      failures: Error[];
    }> => {
      const rig = await startDriverRig();
      const failures: Error[] = [];
      rig.driver.driver.onFailed = (error) => failures.push(error);
      const read = outcome(rig.driver.read(0, 512));
      await settle();
      if (phase === 'resume') {
        rig.device.onStatus = (value) => (value === 0x1f ? 0x1b : value);
        await rig.driver.suspend();
        rig.device.onStatus = (value) => (value === 0x1f ? 0x1b : value);
      }
      rig.device.takeLog();
      const result = outcome(rig.driver[phase]({ limitMs: 5000 }));
      await settle();
      return { rig, result, read, failures };
    };

    it(`with DEVICE_NEEDS_RESET during ${phase} is reset, and its requests are lost with the reason`, async () => {
      const { rig, result, read, failures } = await start();
      rig.device.status = phase === 'suspend' ? 0x4f : 0x5b;
      await rig.clock.advance(100);
      expect(result.value).toMatchObject({ fault: 'needsReset' });
      expect(read.value).toBe(result.value);
      expect(failures).toEqual([result.value]);
      expect(rig.device.takeLog()).toEqual(['status 1f', 'status 00']);
      expect(rig.driver.driver.state).toBe('failed');
      await expect(rig.driver.read(0, 512)).rejects.toThrow(/call initialize/);
    });

    it(`during ${phase} by never finishing is given up at the limit: FAILED, reset, and no second request`, async () => {
      const { rig, result } = await start();
      await rig.clock.advance(4999);
      expect(result.value).toBe('pending');
      await rig.clock.advance(30);
      expect(result.value).toBeInstanceOf(StatusWaitError);
      expect(result.value).toMatchObject({ fault: 'limit' });
      const shown = phase === 'suspend' ? '9f' : '9b';
      expect(rig.device.takeLog()).toEqual(['status 1f', `status ${shown}`, 'status 00']);
    });

    it(`during ${phase} by being reset behind the driver has lost its state`, async () => {
      const { rig, result, read } = await start();
      rig.device.status = 0;
      await rig.clock.advance(100);
      expect(result.value).toMatchObject({ fault: 'lost' });
      expect(read.value).toBe(result.value);
      rig.device.onStatus = (value) => value;
      await rig.driver.initialize();
      expect(rig.driver.driver.state).toBe('running');
    });

    it(`during ${phase} by being gone is told so`, async () => {
      const { rig, result } = await start();
      rig.device.onStatus = () => 0xff;
      rig.device.status = 0xff;
      await rig.clock.advance(20_000);
      expect(result.value).toMatchObject({ fault: 'gone' });
    });

    it(`during ${phase} because somebody set FAILED is reset`, async () => {
      const { rig, result } = await start();
      rig.device.status = 0x9f;
      await rig.clock.advance(100);
      expect(result.value).toMatchObject({ fault: 'failed' });
      expect(rig.device.takeLog().at(-1)).toBe('status 00');
    });
  }

  it('is not taken for suspended at 0x5b, nor for running at 0x4f', async () => {
    const { device, driver, clock } = await startDriverRig();
    const suspending = outcome(driver.suspend());
    await settle();
    device.status = 0x5b;
    await clock.advance(100);
    expect(suspending.value).toBeInstanceOf(StatusWaitError);
  });
});

describe('an abort', () => {
  it('before the write changes nothing', async () => {
    const { device, driver } = await startDriverRig();
    const reason = new Error('changed my mind');
    await expect(driver.suspend({ signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    expect(device.takeLog()).toEqual([]);
    expect(driver.driver.state).toBe('running');
  });

  it('of a suspend waits for its end, since there is no way to cancel it, and resumes', async () => {
    const { device, driver, clock } = await startDriverRig();
    const controller = new AbortController();
    const reason = new Error('changed my mind');
    const result = outcome(driver.suspend({ signal: controller.signal }));
    await settle();
    controller.abort(reason);
    await clock.advance(1000);
    expect(result.value).toBe('pending');
    expect(device.takeLog()).toEqual(['status 1f']);
    device.onStatus = () => 0x0f;
    device.status = 0x1b;
    await clock.advance(100);
    expect(result.value).toBe(reason);
    expect(driver.driver.state).toBe('running');
    expect(device.takeLog()).toEqual(['status 1f']);
  });

  it('of a resume gives the device up', async () => {
    const { device, driver, clock } = await suspendedRig();
    const controller = new AbortController();
    const reason = new Error('no time');
    device.onStatus = (value) => (value === 0x1f ? 0x1b : value);
    const result = outcome(driver.resume({ signal: controller.signal }));
    await settle();
    controller.abort(reason);
    await clock.advance(100);
    expect(result.value).toBe(reason);
    expect(device.takeLog()).toEqual(['status 1f', 'status 9b', 'status 00']);
  });
});
