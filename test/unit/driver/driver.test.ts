import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { BlockDriver } from '../../../src/devices/block/driver.ts';
import { Driver } from '../../../src/driver/driver.ts';
import { ProtocolError, StateError } from '../../../src/spec/fault.ts';
import { Feature, featureSet } from '../../../src/spec/features.ts';
import { makeDriverRig, startDriverRig } from '../../support/driver-rig.ts';
import { settle } from '../../support/fake-clock.ts';
import { outcome } from '../../support/outcome.ts';
import { ScriptedDevice } from '../../support/scripted-device.ts';
import { watchRejections } from '../../support/unhandled-rejections.ts';

const rejections = watchRejections();
beforeEach(rejections.start);
afterEach(rejections.stop);

describe('initialisation', () => {
  it('follows the order of the standard', async () => {
    const { device, driver } = makeDriverRig();
    await driver.initialize();
    expect(device.takeLog()).toEqual(['status 00', 'status 01', 'status 03', 'status 0b', 'enable 0', 'status 0f']);
    expect(device.accepted).toBe(featureSet(Feature.VERSION_1, Feature.SUSPEND));
  });

  it('accepts only what it knows of what is offered', async () => {
    const { device, driver } = makeDriverRig();
    device.offered = (1n << 64n) - 1n;
    device.onStatus = (value) => value;
    await driver.initialize().catch(() => {});
    const foreign = [0, 3, 8, 13 + 8, 27, 33, 36, 37, 41, 42, 44, 50];
    for (const bit of foreign) expect(device.accepted & (1n << BigInt(bit)), `bit ${bit}`).toBe(0n);
  });

  it('declines what it is told to', async () => {
    const { memory, allocator, device, clock } = makeDriverRig();
    expect(memory.regions).toHaveLength(1);
    const driver = new BlockDriver(device, allocator, { clock, decline: [Feature.SUSPEND] });
    await driver.initialize();
    expect(device.accepted).toBe(featureSet(Feature.VERSION_1));
  });

  it('waits for the end of the reset', async () => {
    const { device, driver, clock } = makeDriverRig();
    device.status = 0x0f;
    device.onStatus = (value) => (value === 0 ? 0x0f : value);
    const initialized = driver.initialize();
    await clock.advance(50);
    expect(device.takeLog()).toEqual(['status 00']);
    device.onStatus = (value) => value;
    device.status = 0;
    await clock.advance(50);
    await initialized;
    expect(driver.driver.state).toBe('running');
  });

  it('ends when the reset does not', async () => {
    const { device, driver, clock } = makeDriverRig();
    device.status = 0x0f;
    device.onStatus = () => 0x0f;
    const initialized = driver.initialize();
    const refused = expect(initialized).rejects.toThrow(/does not end its reset/);
    await clock.advance(11_000);
    await refused;
  });

  it.each([
    [
      'offers no VERSION_1',
      (device: ScriptedDevice) => (device.offered = featureSet(Feature.SUSPEND)),
      /VIRTIO_F_VERSION_1/,
    ],
    [
      'refuses its own features',
      (device: ScriptedDevice) => (device.onStatus = (value) => value & ~0x08),
      /refuses features/,
    ],
    ['has no queue', (device: ScriptedDevice) => (device.queueSize = 0), /no queue 0/],
  ])('sets FAILED and stops when the device %s', async (_, spoil, reason) => {
    const { device, driver } = makeDriverRig();
    spoil(device);
    await expect(driver.initialize()).rejects.toThrow(reason);
    expect(device.takeLog().at(-1)).toMatch(/^status [89a-f]/);
    expect(driver.driver.state).toBe('failed');
    await expect(driver.read(0, 512)).rejects.toThrow(StateError);
  });

  it.each([3, 65_535, 65_536])('ends when a split queue of the device has %i entries', async (entries) => {
    const { device, driver } = makeDriverRig();
    device.queueSize = entries;
    await expect(driver.initialize()).rejects.toMatchObject({ rule: 'pci.device.common.15' });
    expect(device.takeLog().at(-1)).toBe('status 8b');
  });

  it.each([
    [{}, 256],
    [{ queueSize: 16 }, 16],
  ])('makes no queue larger than its options %o say', async (options, size) => {
    const { allocator, device, clock } = makeDriverRig();
    device.queueSize = 1024;
    const driver = new BlockDriver(device, allocator, { clock, ...options });
    await driver.initialize();
    expect(driver.driver.queues.map((queue) => queue.size)).toEqual([size]);
  });

  it('ends when there is no device any more, and writes nothing to what is not there', async () => {
    const { device, driver } = makeDriverRig();
    device.onStatus = (value) => (value === 0x03 ? 0xff : value);
    await expect(driver.initialize()).rejects.toMatchObject({ fault: 'gone' });
    expect(device.takeLog()).toEqual(['status 00', 'status 01', 'status 03']);
  });

  it('looks each millisecond whether the reset has ended, for as long as its options say', async () => {
    const { allocator, device, clock } = makeDriverRig();
    const driver = new BlockDriver(device, allocator, { clock, resetLimitMs: 30 });
    let looks = 0;
    device.onStatus = () => 0x0f;
    device.onRead = () => looks++;
    const reset = driver.driver.reset();
    const refused = expect(reset).rejects.toThrow(/does not end its reset/);
    await clock.advance(29);
    expect(looks).toBe(30);
    await clock.advance(1);
    await refused;
    expect([looks, clock.pending]).toEqual([31, 0]);
  });

  it.each([0x01, 0x0b])('ends when the device is reset behind it, after %i was written', async (last) => {
    const { device, driver } = makeDriverRig();
    device.onStatus = (value) => (value === last ? 0 : value);
    await expect(driver.initialize()).rejects.toThrow(/reset behind its driver|refuses features/);
    expect(driver.driver.state).toBe('failed');
    expect(device.takeLog().at(-1)).toBe('status 80');
  });

  it('is refused for another device type before anything is touched', async () => {
    const { memory, allocator } = makeDriverRig();
    const device = new ScriptedDevice(memory, 1);
    await expect(new BlockDriver(device, allocator).initialize()).rejects.toThrow(/device id 2, the device has 1/);
    expect(device.takeLog()).toEqual([]);
  });

  it('ends when the generation of the configuration never settles', async () => {
    const { device, driver } = makeDriverRig();
    const readGeneration = device.readConfigGeneration.bind(device);
    device.readConfigGeneration = () => {
      device.generation++;
      return readGeneration();
    };
    await expect(driver.initialize()).rejects.toThrow(/config\.device\.generation/);
  });

  it('starts anew after a failure, and gives all memory back that it takes', async () => {
    const { device, driver, allocator } = await startDriverRig();
    const free = allocator.freeBytes;
    for (let round = 0; round < 5; round++) {
      device.status = 0x4f;
      device.onConfigChange?.();
      await settle();
      expect(driver.driver.state).toBe('failed');
      await driver.initialize();
      expect(driver.driver.state).toBe('running');
    }
    expect(allocator.freeBytes).toBe(free);
  });
});

describe('a device that lies', () => {
  it('and writes no status does not resolve the request', async () => {
    const { device, driver } = await startDriverRig();
    const settled = Promise.allSettled([driver.read(0, 512)]);
    await settle();
    const queue = device.queues[0]!;
    const chain = queue.take()!;
    queue.complete(chain, 512);
    queue.publish();
    device.onUsedBuffer?.();
    const [result] = await settled;
    expect(result).toMatchObject({ status: 'rejected' });
    expect((result as PromiseRejectedResult).reason).toBeInstanceOf(ProtocolError);
  });

  it.each([3, 17, 0xff])('and answers with status %i does not resolve the request', async (status) => {
    const { device, driver } = await startDriverRig();
    const settled = Promise.allSettled([driver.read(0, 512)]);
    await settle();
    const queue = device.queues[0]!;
    const chain = queue.take()!;
    chain.writeU8(chain.writableBytes - 1, status);
    queue.complete(chain, chain.writableBytes);
    queue.publish();
    device.onUsedBuffer?.();
    const [result] = await settled;
    expect((result as PromiseRejectedResult).reason).toBeInstanceOf(ProtocolError);
  });
});

describe('a reset by the driver', () => {
  it('rejects what is out, and what waits for room, when the device no longer touches it', async () => {
    const { device, driver, clock } = await startDriverRig();
    const settled = Promise.allSettled(Array.from({ length: 6 }, (_, n) => driver.read(n, 512)));
    await settle();
    device.onStatus = (value) => (value === 0 ? 0x0f : value);
    const reset = driver.driver.reset();
    let done = false;
    void settled.then(() => {
      done = true;
    });
    await clock.advance(20);
    expect(done).toBe(false);
    device.status = 0;
    await clock.advance(20);
    await reset;
    for (const result of await settled) {
      expect(result).toMatchObject({ status: 'rejected', reason: { message: 'the device was reset by its driver' } });
    }
  });

  it('ends a suspend that is under way', async () => {
    const { device, driver, clock } = await startDriverRig();
    const suspended = driver.suspend();
    const refused = expect(suspended).rejects.toThrow();
    await settle();
    const reset = driver.driver.reset();
    device.status = 0;
    await clock.advance(100);
    await reset;
    await refused;
    await driver.initialize();
    expect(driver.driver.state).toBe('running');
  });
});

describe('an interrupt', () => {
  it('to a driver that was reset, has failed or has suspended its device reads no ring and no status', async () => {
    for (const state of ['reset', 'failed', 'suspended'] as const) {
      const { device, driver, answer } = await startDriverRig();
      const read = outcome(driver.read(0, 512));
      await settle();
      if (state === 'suspended') {
        device.onStatus = () => 0x1b;
        await driver.suspend();
      }
      const queue = device.queues[0]!;
      if (state === 'reset') {
        device.onStatus = () => 0x0f;
        driver.driver.reset().catch(() => {});
      }
      if (state === 'failed') {
        device.writeStatus = () => new Promise(() => {});
        device.onLost?.(new Error('the cable was cut'));
      }
      await settle();
      expect(driver.driver.state).toBe(state);
      device.queues[0] = queue;
      answer();
      await settle();
      expect(read.value).toBe('pending');
    }
  });

  it('of a changed configuration is for the type alone while the device runs and is all right', async () => {
    const { device, driver } = await startDriverRig();
    const capacities: number[] = [];
    driver.onInfoChange = ({ capacitySectors }) => capacities.push(capacitySectors);
    device.config[0] = 128;
    device.onConfigChange?.();
    await settle();
    expect(capacities).toEqual([128]);
    const failures: Error[] = [];
    driver.driver.onFailed = (error) => failures.push(error);
    device.readStatus = () => {
      throw new Error('the cable was cut');
    };
    device.onConfigChange?.();
    await settle();
    expect(failures).toEqual([new Error('the cable was cut')]);
    expect(driver.driver.state).toBe('failed');
  });
});

describe('an interrupt of a changed configuration whose status comes late', () => {
  /** A driver whose device answers the next read of its status when it is told to. */
  async function late(): Promise<{
    device: ScriptedDevice;
    driver: Driver;
    changes: () => number;
    answer: (status: number | Error) => Promise<void>;
  }> {
    const { device, allocator, clock } = makeDriverRig();
    let changes = 0;
    const configChanged = (): void => {
      changes++;
    };
    const type = { deviceId: 2, features: 0n, queueCount: async () => 1, configChanged };
    const driver = new Driver(type, device, allocator, { clock });
    await driver.initialize();
    const readStatus = device.readStatus.bind(device);
    let settleRead: (status: number | Error) => void = () => {};
    const readLater = (): Promise<number> => {
      Object.assign(device, { readStatus });
      return new Promise((resolve, reject) => {
        settleRead = (status) => (status instanceof Error ? reject(status) : resolve(status));
      });
    };
    Object.assign(device, { readStatus: readLater });
    device.onConfigChange?.();
    const answer = async (status: number | Error): Promise<void> => {
      settleRead(status);
      await settle();
    };
    return { device, driver, changes: () => changes, answer };
  }

  it.each([0x4f, 0x0f, new Error('the cable was cut')])('is of no concern to another life: %s', async (status) => {
    const { driver, changes, answer } = await late();
    await driver.initialize();
    await answer(status);
    expect([driver.state, changes()]).toEqual(['running', 0]);
  });

  it('is told after a resume, not while suspending or suspended', async () => {
    const { device, driver, changes, answer } = await late();
    device.onStatus = (value) => (value === 0x1f ? 0x1b : value);
    await driver.suspend();
    await answer(0x1b);
    expect(changes()).toBe(0);
    device.onStatus = () => 0x0f;
    await driver.resume();
    expect(changes()).toBe(1);
  });

  it('may be of no interest to the driver of a type', async () => {
    const { device, allocator, clock } = makeDriverRig();
    const driver = new Driver({ deviceId: 2, features: 0n, queueCount: async () => 1 }, device, allocator, { clock });
    await driver.initialize();
    device.onConfigChange?.();
    await settle();
    expect(driver.state).toBe('running');
  });
});

describe('a field of the configuration space', () => {
  it('is written in one access of its width', async () => {
    const { device, driver } = await startDriverRig();
    const writes: number[][] = [];
    device.writeConfig = (...access: number[]) => writes.push(access);
    await driver.driver.writeConfig({ offset: 32, bytes: 1 }, 7);
    expect(writes).toEqual([[32, 1, 7]]);
  });
});

describe('a transport that is lost', () => {
  it('rejects what is out with its reason', async () => {
    const { device, driver } = await startDriverRig();
    const failures: Error[] = [];
    driver.driver.onFailed = (error) => failures.push(error);
    const settled = Promise.allSettled([driver.read(0, 512)]);
    await settle();
    const reason = new Error('the cable was cut');
    device.readStatus = () => {
      throw reason;
    };
    device.onLost?.(reason);
    expect(await settled).toMatchObject([{ status: 'rejected', reason }]);
    expect(failures).toEqual([reason]);
  });
});
