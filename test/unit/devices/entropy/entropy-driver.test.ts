import { describe, expect, it } from 'vitest';
import { Device } from '../../../../src/device/device.ts';
import type { DevicePort, DeviceType } from '../../../../src/device/device-type.ts';
import { EntropyDevice, type EntropySource } from '../../../../src/devices/entropy/device.ts';
import { EntropyDriver } from '../../../../src/devices/entropy/driver.ts';
import { ProtocolError, StateError } from '../../../../src/spec/fault.ts';
import { ways } from '../../../support/rig.ts';
import { makeTypeRig, settled, type TypeRig } from '../type-rig.ts';

const driverOf = (...[transport, allocator]: ConstructorParameters<typeof EntropyDriver>): EntropyDriver =>
  new EntropyDriver(transport, allocator);

async function start(source?: EntropySource): Promise<TypeRig<EntropyDevice, EntropyDriver>> {
  const rig = await makeTypeRig(new EntropyDevice(source), driverOf);
  await rig.driver.initialize();
  return rig;
}

/** A source that counts byte by byte, and a promise at a time lets go. */
function gated(): { source: EntropySource; asked: () => number; open: () => void } {
  let next = 0;
  const waiting: (() => void)[] = [];
  const source: EntropySource = async (bytes) => {
    await new Promise<void>((resolve) => waiting.push(resolve));
    for (let i = 0; i < bytes.length; i++) bytes[i] = ++next & 0xff;
  };
  return { source, asked: () => waiting.length, open: () => waiting.shift()?.() };
}

/** A device that uses each buffer at once, and says that it wrote `written` bytes. */
class LyingDevice implements DeviceType {
  readonly deviceId = 4;
  readonly features = 0n;
  readonly queues = [{ maxSize: 8, taking: 'eager' as const }];
  readonly #written: number;
  #port!: DevicePort;

  constructor(written: number) {
    this.#written = written;
  }

  attach(port: DevicePort): void {
    this.#port = port;
  }

  config(): Uint8Array {
    return new Uint8Array(0);
  }

  process(...[queue, chain]: Parameters<NonNullable<DeviceType['process']>>): void {
    this.#port.complete(queue, chain, this.#written);
  }
}

const counted = (length: number, from = 0): Uint8Array => Uint8Array.from({ length }, (_, i) => (from + i + 1) & 0xff);

for (const way of ways) {
  describe(`an entropy driver, over ${way}`, () => {
    it('reads as many bytes as it is asked for, through suspend and resume', async () => {
      const rig = await makeTypeRig(new EntropyDevice(), driverOf, { way });
      await rig.driver.initialize();
      for (const length of [0, 1, 64, 5000]) {
        const bytes = await rig.driver.read(length);
        expect(bytes).toHaveLength(length);
        if (length >= 64) expect(new Set(bytes).size).toBeGreaterThan(20);
        await rig.driver.suspend();
        await rig.driver.resume();
      }
    });
  });
}

describe('an entropy driver', () => {
  it('hands over what the device gave, piece by piece, and gives its memory back', async () => {
    const { source, open, asked } = gated();
    const { driver, allocator } = await start(source);
    const free = allocator.freeBytes;
    const reading = driver.read(700);
    while ((await Promise.race([reading, settled()])) === undefined) if (asked() > 0) open();
    expect(await reading).toEqual(counted(700));
    expect(allocator.freeBytes).toBe(free);
  });

  it('refuses lengths that are none, and reads while it is not running', async () => {
    const { driver } = await start();
    for (const length of [-1, 1.5, Number.NaN]) await expect(driver.read(length)).rejects.toThrow(RangeError);
    await driver.suspend();
    await expect(driver.read(1)).rejects.toThrow('read: the device is suspended: call resume() first');
    await driver.driver.reset();
    await expect(driver.read(1)).rejects.toThrow(StateError);
  });

  it('reads on after a suspend, from the device that the first one was saved to', async () => {
    const before = gated();
    const { driver, device, replace, memory } = await start(before.source);
    const reading = driver.read(512);
    await settled();
    before.open();
    await settled();
    await driver.suspend();
    const after = new EntropyDevice((bytes) => void bytes.fill(0xee));
    const next = new Device(after, memory);
    next.restore(JSON.parse(JSON.stringify(device.save())));
    replace(next);
    await driver.resume();
    const bytes = await reading;
    expect(bytes.subarray(0, 256)).toEqual(counted(256));
    expect(bytes.subarray(256)).toEqual(new Uint8Array(256).fill(0xee));
  });

  it('does not believe a device that used a buffer and gave nothing', async () => {
    const rig = await makeTypeRig(new LyingDevice(0), driverOf);
    await rig.driver.initialize();
    const free = rig.allocator.freeBytes;
    const error = await rig.driver.read(16).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(ProtocolError);
    expect((error as ProtocolError).rule).toBe('rng.device.1');
    expect(rig.allocator.freeBytes).toBe(free);
  });

  it('takes a byte at a time from a device that gives no more', async () => {
    const rig = await makeTypeRig(new LyingDevice(1), driverOf);
    await rig.driver.initialize();
    expect(await rig.driver.read(50)).toHaveLength(50);
  });

  it('rejects what is out when the device fails, and works again after initialize', async () => {
    let broken = true;
    const { driver } = await start((bytes) => {
      if (broken) throw new Error('no entropy');
      bytes.fill(1);
    });
    await expect(driver.read(16)).rejects.toThrow('the device needs a reset');
    await expect(driver.read(16)).rejects.toThrow(StateError);
    broken = false;
    await driver.initialize();
    expect(await driver.read(3)).toEqual(Uint8Array.of(1, 1, 1));
  });
});
