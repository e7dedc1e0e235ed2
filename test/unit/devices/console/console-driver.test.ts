import { describe, expect, it } from 'vitest';
import { Device } from '../../../../src/device/device.ts';
import type { DeviceOptions } from '../../../../src/device/device-options.ts';
import { ConsoleDevice, type ConsoleOptions } from '../../../../src/devices/console/device.ts';
import { ConsoleDriver, type ConsoleDriverOptions } from '../../../../src/devices/console/driver.ts';
import { ConsoleFeature, type ConsoleSize } from '../../../../src/devices/console/layout.ts';
import { StateError } from '../../../../src/spec/fault.ts';
import { type Way, ways } from '../../../support/rig.ts';
import { makeTypeRig, settled, type TypeRig } from '../type-rig.ts';

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1');
const bytes = (string: string): Uint8Array => Uint8Array.from(Buffer.from(string, 'latin1'));

interface Console extends TypeRig<ConsoleDevice, ConsoleDriver> {
  /** What the driver printed, and what it was typed. */
  printed: string;
  typed: string;
}

interface Options {
  readonly way?: Way;
  readonly type?: Partial<ConsoleOptions>;
  readonly driver?: ConsoleDriverOptions;
  readonly device?: DeviceOptions;
}

async function start({ way = 'direct', type, driver, device }: Options = {}): Promise<Console> {
  const output = (piece: Uint8Array): void => {
    rig.printed += text(piece);
  };
  const made = new ConsoleDevice({ output, ...type });
  const rig: Console = {
    ...(await makeTypeRig(made, (transport, allocator) => new ConsoleDriver(transport, allocator, driver), {
      way,
      ...(device === undefined ? {} : { device }),
    })),
    printed: '',
    typed: '',
  };
  rig.driver.onInput = (input) => {
    rig.typed += text(input);
  };
  await rig.driver.initialize();
  return rig;
}

for (const way of ways) {
  describe(`a console driver, over ${way}`, () => {
    it('prints and is typed to, both in order', async () => {
      const rig = await start({ way });
      await Promise.all(['one ', 'two ', 'three'].map((word) => rig.driver.write(bytes(word))));
      rig.type.input(bytes('left '));
      rig.type.input(bytes('right'));
      await settled();
      expect(rig.printed).toBe('one two three');
      expect(rig.typed).toBe('left right');
    });

    it('is typed after a resume what came while it was suspended, in another device', async () => {
      const rig = await start({ way });
      await rig.driver.suspend();
      rig.type.input(bytes('kept'));
      await settled();
      expect(rig.typed).toBe('');
      await expect(rig.driver.write(bytes('x'))).rejects.toThrow('write: the device is suspended');
      const state = JSON.stringify(rig.pci === undefined ? rig.device.save() : rig.pci.save());
      const type = new ConsoleDevice({ output: () => {} });
      const next = new Device(type, rig.memory);
      const pci = rig.replace(next);
      (pci ?? next).restore(JSON.parse(state));
      await rig.driver.resume();
      await settled();
      expect(rig.typed).toBe('kept');
      type.input(bytes(' and more'));
      await settled();
      expect(rig.typed).toBe('kept and more');
    });

    it('sees a size that changed while it was suspended', async () => {
      const rig = await start({ way });
      const sizes: ConsoleSize[] = [];
      rig.driver.onResize = (size) => sizes.push(size);
      expect(rig.driver.size).toEqual({ rows: 25, columns: 80 });
      rig.type.resize({ rows: 30, columns: 90 });
      await settled();
      expect(sizes).toEqual([{ rows: 30, columns: 90 }]);
      await rig.driver.suspend();
      rig.type.resize({ rows: 31, columns: 91 });
      await settled();
      expect(sizes).toHaveLength(1);
      await rig.driver.resume();
      await settled();
      expect(sizes).toEqual([
        { rows: 30, columns: 90 },
        { rows: 31, columns: 91 },
      ]);
      expect(rig.driver.size).toEqual({ rows: 31, columns: 91 });
    });
  });
}

describe('a console driver', () => {
  it('is told of a size once, and of none that did not change', async () => {
    const rig = await start();
    const sizes: ConsoleSize[] = [];
    rig.driver.onResize = (size) => sizes.push(size);
    await rig.driver.suspend();
    await rig.driver.resume();
    await settled();
    expect(sizes).toEqual([]);
  });

  it('has no size when the device has none to tell', async () => {
    const rig = await start({ device: { withhold: [ConsoleFeature.SIZE] } });
    expect(rig.driver.size).toBeUndefined();
    rig.type.resize({ rows: 1, columns: 1 });
    await settled();
    expect(rig.driver.size).toBeUndefined();
  });

  it('reads the size in the order of a device made before 1.4 when it is told so', async () => {
    const size = { rows: 50, columns: 132 };
    const sizeOrder = 'before-1.4';
    const rig = await start({ type: { size, sizeOrder }, driver: { sizeOrder } });
    expect(rig.driver.size).toEqual(size);
    expect((await start({ type: { size }, driver: { sizeOrder } })).driver.size).toEqual({ rows: 132, columns: 50 });
  });
});

describe('the buffers of a console driver', () => {
  it('lose no input that fills them many times over', async () => {
    const rig = await start({ driver: { receiveBuffers: 2 } });
    const input = Array.from({ length: 5000 }, (_, i) => String.fromCharCode(97 + (i % 26))).join('');
    rig.type.input(bytes(input));
    while (rig.typed.length < input.length) await settled();
    expect(rig.typed).toBe(input);
  });

  it('are given back after each write', async () => {
    const rig = await start();
    const free = rig.allocator.freeBytes;
    await rig.driver.write(new Uint8Array(0));
    await rig.driver.write(new Uint8Array(100_000).fill(0x78));
    expect(rig.printed).toHaveLength(100_000);
    expect(rig.allocator.freeBytes).toBe(free);
    await expect(rig.driver.write(new Uint8Array(2 << 20))).rejects.toThrow(RangeError);
  });
});

describe('a console driver whose device has trouble', () => {
  it('waits for output that is held up', async () => {
    let letGo: (() => void) | undefined;
    const output = (): Promise<void> =>
      new Promise((resolve) => {
        letGo = resolve;
      });
    const rig = await start({ type: { output } });
    let done = false;
    const writing = rig.driver.write(bytes('x')).then(() => {
      done = true;
    });
    await settled();
    expect(done).toBe(false);
    letGo!();
    await writing;
  });

  it('rejects what is out when the device fails, and works again after initialize', async () => {
    const rig = await start({ type: { output: () => Promise.reject(new Error('gone')) } });
    await expect(rig.driver.write(bytes('x'))).rejects.toThrow('the device needs a reset');
    await expect(rig.driver.write(bytes('x'))).rejects.toThrow(StateError);
    await rig.driver.initialize();
    rig.type.input(bytes('back'));
    await settled();
    expect(rig.typed).toBe('back');
  });

  it('does not blame the device for a receiver that throws', async () => {
    const rig = await start();
    const others = process.listeners('unhandledRejection');
    process.removeAllListeners('unhandledRejection');
    try {
      const thrown = new Promise((resolve) => process.once('unhandledRejection', resolve));
      rig.driver.onInput = () => {
        throw new Error('in the receiver');
      };
      rig.type.input(bytes('x'));
      expect(await thrown).toEqual(new Error('in the receiver'));
    } finally {
      for (const listener of others) process.on('unhandledRejection', listener);
    }
    await rig.driver.write(bytes('still there'));
    expect(rig.printed).toBe('still there');
  });
});
