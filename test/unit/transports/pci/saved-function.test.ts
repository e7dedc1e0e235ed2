import { describe, expect, it } from 'vitest';
import { Device } from '../../../../src/device/device.ts';
import { type Sealed, seal } from '../../../../src/device/sealed.ts';
import { BlockDevice } from '../../../../src/devices/block/device.ts';
import { StateError } from '../../../../src/spec/fault.ts';
import { PciCommon } from '../../../../src/spec/pci.ts';
import { FaultyDisk } from '../../../../src/storage/faulty-disk.ts';
import { ioLayout } from '../../../../src/transports/pci/device.ts';
import { damaged, type Json } from '../../../support/damaged.ts';
import { pattern, startBlockRig, ways } from '../../../support/rig.ts';
import { PciRig } from './pci-rig.ts';

interface FunctionBody {
  readonly device: Sealed<Json>;
  readonly interrupts: Json;
  readonly select: Json;
  readonly space: Json;
}

/** A function that was suspended after some work, with an interrupt pending, and its saved state. */
async function suspended(vectors = 0): Promise<{ rig: PciRig; state: Sealed<FunctionBody> }> {
  const rig = new PciRig(ioLayout, {}, vectors).start();
  rig.offerRead();
  rig.notify(0);
  rig.write(PciCommon.DEVICE_STATUS, 0x1f);
  expect(rig.read(PciCommon.DEVICE_STATUS)).toBe(0x1b);
  return { rig, state: JSON.parse(JSON.stringify(rig.pci.save())) as Sealed<FunctionBody> };
}

/** A function to restore into, over memory as it was. */
function successor(of: PciRig): PciRig {
  const next = new PciRig(ioLayout, {}, of.pci.interrupts.msix?.vectors ?? 0);
  next.memory.regions[0]!.bytes.set(of.memory.regions[0]!.bytes);
  return next;
}

/**
 * Without what follows from the rest: a configuration that is not that of the disk counts as a change that is held, and a
 * queue without positions starts at the beginning.
 */
function comparable(state: unknown): unknown {
  const derived = ['checksum', 'changeHeld'];
  const start = { format: 'split', availableNext: 0, usedNext: 0 };
  return JSON.parse(JSON.stringify(state), (key, value: unknown) => {
    if (derived.includes(key)) return undefined;
    return key === 'positions' && value === null ? start : value;
  });
}

/** Restores; true when it was taken. Anything but a StateError fails the test, as does one that changed something. */
function restores(next: PciRig, state: unknown, where: string): boolean {
  try {
    next.pci.restore(state);
    return true;
  } catch (error) {
    expect(error, where).toBeInstanceOf(StateError);
    expect(next.device.status, where).toBe(0);
    expect(next.pci.interruptLine).toBe(false);
    return false;
  }
}

describe('the saved state of a function', () => {
  it('is plain data, and goes on in another function as if nothing had been', async () => {
    const { rig, state } = await suspended();
    const next = successor(rig);
    next.pci.restore(state);
    expect(JSON.parse(JSON.stringify(next.pci.save()))).toEqual(state);
    expect([next.pci.interruptLine, [...next.line], next.isr]).toEqual([true, [true], 1]);
    next.write(PciCommon.DEVICE_STATUS, 0x1f);
    expect(next.read(PciCommon.DEVICE_STATUS)).toBe(0x0f);
    next.offerRead();
    next.notify(0);
    expect(next.queue.usedIndex).toBe(2);
  });

  it('is noticed when it was damaged anywhere', async () => {
    const { rig, state } = await suspended();
    let count = 0;
    const next = successor(rig);
    for (const { value, where } of damaged(state as unknown as Json)) {
      expect(restores(next, value, where), where).toBe(false);
      count++;
    }
    expect(count).toBeGreaterThan(1000);
    expect(restores(next, state, 'undamaged')).toBe(true);
  });

  it.each([0, 2])(
    'is refused, or taken as it is, when somebody wrote another one, with %d vectors',
    async (vectors) => {
      const { rig, state } = await suspended(vectors);
      const taken: string[] = [];
      const variants = function* (): Generator<{ value: Json; where: string }> {
        for (const { value, where } of damaged(state.body.device.body)) {
          const device = seal(state.body.device.format, state.body.device.version, value);
          yield { value: { ...state.body, device } as unknown as Json, where: `device.${where}` };
        }
        yield* damaged(state.body as unknown as Json);
      };
      for (const { value, where } of variants()) {
        const other = JSON.parse(JSON.stringify(seal(state.format, state.version, value))) as Sealed<Json>;
        const next = successor(rig);
        if (!restores(next, other, where)) continue;
        taken.push(where);
        expect(comparable(next.pci.save()), where).toEqual(comparable(other));
        exercise(next, where);
      }
      expect(taken.length).toBeGreaterThan(5);
      // What is taken differs in what any register could have held.
      const free =
        /^(device\.(status|config|type\.writeback|failure|paused|queues|accepted|state|notification)|interrupts|select|space)/;
      expect(taken.filter((where) => !free.test(where))).toEqual([]);
    },
  );

  it('is not one of something else', () => {
    const next = new PciRig();
    for (const value of [undefined, null, 5, 'state', [], {}, { format: 'virtio-pci function' }]) {
      expect(() => next.pci.restore(value)).toThrow(StateError);
    }
    for (const body of [null, undefined, 5, 'body', []]) {
      expect(() => next.pci.restore(seal('virtio-pci function', 2, body))).toThrow(StateError);
    }
    expect(() => next.pci.restore(seal('virtio-pci function', 1, {}))).toThrow(/version 1/);
  });

  it('can be taken whatever a driver wrote to the registers of a queue that it did not enable', async () => {
    const rig = new PciRig().start();
    rig.write(PciCommon.QUEUE_SELECT, 1);
    for (let offset: number = PciCommon.QUEUE_DESC; offset < PciCommon.QUEUE_DEVICE + 8; offset += 4)
      rig.write(offset, 0xffff_ffff);
    rig.write(PciCommon.DEVICE_STATUS, 0x1f);
    const state = JSON.parse(JSON.stringify(rig.pci.save()));
    const next = successor(rig);
    next.pci.restore(state);
    expect(JSON.parse(JSON.stringify(next.pci.save()))).toEqual(state);
  });

  it('is not restored into a function in use', async () => {
    const { rig, state } = await suspended();
    expect(() => rig.pci.restore(state)).toThrow(/just made or reset/);
    rig.write(PciCommon.DEVICE_STATUS, 0);
    expect(() => rig.pci.restore(state)).not.toThrow();
  });
});

/** Reads and writes everything; nothing of it may throw. */
function exercise(rig: PciRig, where: string): void {
  for (let offset = 0; offset < 256; offset++)
    for (const width of [1, 2, 4] as const) rig.pci.readBar(0, offset, width);
  for (const status of [0x1f, 0x0f, 0x1b, 0]) {
    rig.write(PciCommon.DEVICE_STATUS, status);
    rig.notify(0);
    rig.disk.onResize?.();
  }
  expect(rig.read(PciCommon.DEVICE_STATUS)).toBe(0);
  if (rig.device.paused) rig.device.continue();
  rig.memory.regions[0]!.bytes.fill(0);
  rig.start();
  rig.offerRead();
  rig.notify(0);
  expect([rig.device.status, rig.queue.usedIndex], where).toEqual([0x0f, 1]);
}

for (const way of ways.filter((each) => each.startsWith('pci'))) {
  it(`a driver goes on with another device behind it, and loses nothing, over ${way}`, async () => {
    const disk = new FaultyDisk((await startBlockRig()).disk);
    const rig = await startBlockRig({ way, disk });
    await rig.driver.write(1, pattern(4096));
    let pci = rig.pci!;
    for (let round = 0; round < 3; round++) {
      disk.hold();
      const reads = Promise.all([rig.driver.read(1, 512), rig.driver.read(2, 512)]);
      await new Promise((resolve) => setImmediate(resolve));
      const suspend = rig.driver.suspend();
      disk.release();
      await suspend;
      expect(await reads).toEqual([pattern(4096).subarray(0, 512), pattern(4096).subarray(512, 1024)]);
      const state = JSON.parse(JSON.stringify(pci.save()));
      const next = new Device(new BlockDevice(disk), rig.memory);
      pci = rig.replace(next)!;
      pci.restore(state);
      await rig.driver.resume();
      expect(await rig.driver.read(1, 4096)).toEqual(pattern(4096));
    }
  });
}
