import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Status } from '../../../src/spec/status.ts';
import { type DriverRig, makeDriverRig, startDriverRig } from '../../support/driver-rig.ts';
import { settle } from '../../support/fake-clock.ts';
import { outcome } from '../../support/outcome.ts';
import { watchRejections } from '../../support/unhandled-rejections.ts';

const rejections = watchRejections();
beforeEach(rejections.start);
afterEach(rejections.stop);

/** A transition that the device does not end, in its wait. */
async function waiting(phase: 'suspend' | 'resume'): Promise<{ rig: DriverRig; result: { value: unknown } }> {
  const rig = await startDriverRig();
  if (phase === 'resume') {
    rig.device.onStatus = (value) => (value === 0x1f ? 0x1b : value);
    await rig.driver.suspend();
  }
  rig.device.onStatus = (value) => (value === 0x1f ? rig.device.status : value);
  const result = outcome(rig.driver[phase]());
  await settle();
  rig.device.takeLog();
  return { rig, result };
}

describe('a reset by the driver', () => {
  for (const phase of ['suspend', 'resume'] as const) {
    it(`ends a ${phase} that is under way, with its reason`, async () => {
      const { rig, result } = await waiting(phase);
      await rig.driver.driver.reset(new Error('enough'));
      await rig.clock.advance(50);
      expect(result.value).toMatchObject({ message: 'enough' });
      expect(rig.device.takeLog()).toEqual(['status 00']);
    });

    it(`and a new start are not disturbed by a ${phase} that was under way`, async () => {
      const { rig, result } = await waiting(phase);
      await rig.driver.initialize();
      expect(rig.driver.driver.state).toBe('running');
      rig.device.takeLog();
      await rig.clock.advance(60_000);
      expect(result.value).toBeInstanceOf(Error);
      expect(rig.device.takeLog()).toEqual([]);
      expect(rig.driver.driver.state).toBe('running');
      const read = outcome(rig.driver.read(0, 512));
      await settle();
      rig.answer();
      await settle();
      expect(read.value).toBe('done');
    });

    it(`in the same turn as a ${phase} is the last word that the device hears`, async () => {
      const rig = await startDriverRig();
      if (phase === 'resume') {
        rig.device.onStatus = (value) => (value === 0x1f ? 0x1b : value);
        await rig.driver.suspend();
      }
      rig.device.onStatus = (value) => value;
      rig.device.takeLog();
      const result = outcome(rig.driver[phase]());
      const reset = rig.driver.driver.reset();
      await rig.clock.advance(50);
      await reset;
      expect(rig.device.takeLog()).toEqual(['status 00']);
      expect(result.value).toBeInstanceOf(Error);
      expect(rig.device.status).toBe(0);
    });
  }

  it.each(['suspend', 'resume'] as const)('at any moment of a %s is the last word', async (phase) => {
    for (let turns = 0; turns < 40; turns++) {
      const rig = await startDriverRig();
      rig.device.onStatus = (value) => (value === 0x1f ? 0x1b : value);
      if (phase === 'resume') {
        await rig.driver.suspend();
        rig.device.onStatus = (value) => (value === 0x1f ? 0x0f : value);
      }
      const result = outcome(rig.driver[phase]());
      for (let turn = 0; turn < turns; turn++) await Promise.resolve();
      rig.device.takeLog();
      const reset = rig.driver.driver.reset();
      await rig.clock.advance(50);
      await reset;
      expect(rig.device.takeLog()).toEqual(['status 00']);
      expect(rig.driver.driver.state).toBe('reset');
      expect(result.value).not.toBe('pending');
    }
  });

  it('ends an initialisation that is under way, and nothing of it reaches the device any more', async () => {
    const { device, driver, clock } = makeDriverRig();
    const steps: string[][] = [];
    for (let turns = 0; turns < 60; turns++) {
      const initialized = outcome(driver.initialize());
      for (let turn = 0; turn < turns; turn++) await Promise.resolve();
      device.takeLog();
      const reset = driver.driver.reset(new Error('enough'));
      await clock.advance(50);
      await reset;
      steps.push(device.takeLog());
      if (initialized.value === 'done') break;
      expect(initialized.value).toMatchObject({ message: 'enough' });
      expect(driver.driver.state).toBe('reset');
      expect(device.status).toBe(0);
    }
    expect(steps.length).toBeGreaterThan(20);
    // A reset that comes while the initialisation's own is waited for is served by that one.
    for (const log of steps) expect([[], ['status 00']]).toContainEqual(log);
    expect(steps.at(-1)).toEqual(['status 00']);
  });

  it('that comes while another one is waited for is the same one', async () => {
    const { device, driver, clock } = await startDriverRig();
    device.onStatus = (value) => (value === 0 ? 0x0f : value);
    const first = outcome(driver.driver.reset());
    await settle();
    const second = outcome(driver.driver.reset());
    const initialized = outcome(driver.initialize());
    await clock.advance(5);
    expect([first.value, second.value, initialized.value]).toEqual(['pending', 'pending', 'pending']);
    device.onStatus = (value) => value;
    device.status = 0;
    await clock.advance(50);
    expect([first.value, second.value, initialized.value]).toEqual(['done', 'done', 'done']);
    expect(driver.driver.state).toBe('running');
  });

  it('may be tried again when the device took too long', async () => {
    const { device, driver, clock } = await startDriverRig();
    const read = outcome(driver.read(0, 512));
    await settle();
    device.onStatus = () => 0x0f;
    const first = outcome(driver.driver.reset());
    await clock.advance(11_000);
    expect(first.value).toMatchObject({ message: 'the device does not end its reset' });
    expect(read.value).toBe('pending');
    device.onStatus = (value) => value;
    await driver.driver.reset();
    await settle();
    expect(read.value).toBeInstanceOf(Error);
  });

  it('that the transport cannot deliver rejects what is out once the transport says that it is lost', async () => {
    const { device, driver } = await startDriverRig();
    const read = outcome(driver.read(0, 512));
    await settle();
    const reason = new Error('the cable was cut');
    device.writeStatus = () => {
      throw reason;
    };
    await expect(driver.driver.reset()).rejects.toBe(reason);
    device.onLost?.(reason);
    await settle();
    expect(read.value).toMatchObject({ message: 'the device was reset by its driver' });
    expect(driver.driver.state).toBe('failed');
  });
});

describe('two initialisations at once', () => {
  it('end with one that runs; the one that was overtaken says so', async () => {
    for (let turns = 0; turns < 40; turns++) {
      const { device, driver, answer } = makeDriverRig();
      const first = outcome(driver.initialize());
      for (let turn = 0; turn < turns; turn++) await Promise.resolve();
      const second = outcome(driver.initialize());
      for (let n = 0; n < 10; n++) await settle();
      expect(second.value).toBe('done');
      expect(driver.driver.state).toBe('running');
      expect(driver.driver.queues).toHaveLength(1);
      expect(device.status).toBe(0x0f);
      if (first.value !== 'done') expect(first.value).toBeInstanceOf(Error);
      const read = outcome(driver.read(0, 512));
      await settle();
      answer();
      await settle();
      expect(read.value).toBe('done');
    }
  });
});

describe('a device that fails', () => {
  it('and is initialised anew before its reset has ended, runs', async () => {
    const { device, driver, clock } = await startDriverRig();
    const read = outcome(driver.read(0, 512));
    await settle();
    device.onStatus = (value) => (value === 0 ? 0x4f : value);
    device.status = 0x4f;
    device.onConfigChange?.();
    await settle();
    const initialized = outcome(driver.initialize());
    await clock.advance(10);
    expect(initialized.value).toBe('pending');
    device.onStatus = (value) => value;
    device.status = 0;
    await clock.advance(50);
    expect(initialized.value).toBe('done');
    expect(read.value).toMatchObject({ fault: 'needsReset' });
    expect(driver.driver.state).toBe('running');
    expect(device.status).toBe(0x0f);
  });

  it('and answers late that it was given up is left alone by then, if it was initialised anew', async () => {
    const rig = await startDriverRig();
    const { device, driver } = rig;
    const write = device.writeStatus.bind(device);
    let answered = (): void => {};
    device.writeStatus = (value) => {
      void write(value);
      if ((value & Status.FAILED) === 0) return Promise.resolve();
      return new Promise<void>((resolve) => {
        answered = resolve;
      });
    };
    const read = outcome(driver.read(0, 512));
    await settle();
    lie(rig);
    device.onUsedBuffer?.();
    await settle();
    await driver.initialize();
    device.takeLog();
    answered();
    await settle();
    expect(device.takeLog()).toEqual([]);
    expect(driver.driver.state).toBe('running');
    expect(read.value).toMatchObject({ rule: 'split.device.used.index' });
  });

  it('over its used ring while it suspends rejects the suspend with what is wrong', async () => {
    const { rig, result } = await waiting('suspend');
    const failures: Error[] = [];
    rig.driver.driver.onFailed = (error) => failures.push(error);
    lie(rig);
    rig.device.onUsedBuffer?.();
    await rig.clock.advance(50);
    expect(result.value).toMatchObject({ rule: 'split.device.used.index' });
    expect(failures).toEqual([result.value]);
  });

  it('over its used ring at the very end of a suspend rejects the suspend with what is wrong', async () => {
    const { rig, result } = await waiting('suspend');
    lie(rig);
    rig.device.status = 0x1b;
    await rig.clock.advance(50);
    expect(result.value).toMatchObject({ rule: 'split.device.used.index' });
    expect(rig.driver.driver.state).toBe('failed');
  });

  it('over its used ring at the end of a resume rejects the resume, and is neither kicked nor shown anything', async () => {
    const rig = await startDriverRig();
    const reads = Array.from({ length: 3 }, (_, n) => outcome(rig.driver.read(n, 512)));
    await settle();
    rig.device.onStatus = (value) => (value === 0x1f ? 0x1b : value);
    await rig.driver.suspend();
    rig.device.onStatus = (value) => (value === 0x1f ? 0x0f : value);
    rig.device.takeLog();
    lie(rig);
    const result = outcome(rig.driver.resume());
    await rig.clock.advance(50);
    expect(result.value).toMatchObject({ rule: 'split.device.used.index' });
    expect(reads.map(({ value }) => value)).toEqual([result.value, result.value, result.value]);
    expect(rig.device.takeLog()).toEqual(['status 1f', 'status 8f', 'status 00']);
  });

  it('at DRIVER_OK is not taken for running', async () => {
    const { device, driver } = makeDriverRig();
    device.onStatus = (value) => {
      if ((value & Status.DRIVER_OK) === 0 || (value & Status.FAILED) !== 0) return value;
      queueMicrotask(() => device.onConfigChange?.());
      return value | Status.DEVICE_NEEDS_RESET;
    };
    await expect(driver.initialize()).rejects.toMatchObject({ fault: 'needsReset' });
    expect(driver.driver.state).toBe('failed');
    device.onStatus = (value) => value;
    await driver.initialize();
    expect(driver.driver.state).toBe('running');
  });

  it('in any way during initialisation costs no memory', async () => {
    const { device, driver, allocator } = makeDriverRig();
    await driver.initialize();
    const free = allocator.freeBytes;
    for (const refused of [0x0b, 0x0f]) {
      device.onStatus = (value) => (value === refused ? value & ~0x0c : value);
      if (refused === 0x0f) {
        device.onStatus = (value) => {
          if (value === refused) throw new Error('the cable was cut');
          return value;
        };
      }
      for (let n = 0; n < 3; n++) await expect(driver.initialize()).rejects.toThrow();
    }
    device.onStatus = (value) => value;
    await driver.initialize();
    expect(allocator.freeBytes).toBe(free);
  });
});

describe('a device that was reset behind its driver', () => {
  it('is asked neither to suspend nor to resume', async () => {
    const rig = await startDriverRig();
    rig.device.status = 0;
    await expect(rig.driver.suspend()).rejects.toMatchObject({ fault: 'lost' });
    expect(rig.device.takeLog()).toEqual(['status 00']);

    await rig.driver.initialize();
    rig.device.onStatus = (value) => (value === 0x1f ? 0x1b : value);
    await rig.driver.suspend();
    rig.device.takeLog();
    rig.device.status = 0;
    await expect(rig.driver.resume()).rejects.toMatchObject({ fault: 'lost' });
    expect(rig.device.takeLog()).toEqual(['status 00']);
  });
});

/** The device moves its used index further than there are buffers. */
function lie({ device, memory }: DriverRig): void {
  const { size } = device.queues[0]!;
  const available = 0x1000 + 16 * size;
  const used = Math.ceil((available + 6 + 2 * size) / 4) * 4;
  memory.regions[0]!.view.setUint16(used + 2, 9, true);
}
