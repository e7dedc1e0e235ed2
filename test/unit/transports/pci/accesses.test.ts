import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Feature, featureSet, hasFeature } from '../../../../src/spec/features.ts';
import { PciCommon } from '../../../../src/spec/pci.ts';
import { describeStatus, Status } from '../../../../src/spec/status.ts';
import { commonRegisters } from '../../../../src/transports/pci/common.ts';
import { layouts, PciRig } from './pci-rig.ts';

const widths = [1, 2, 4] as const;
const { FEATURES_OK, DRIVER_OK, SUSPEND } = Status;

function isValue(value: number, width: number): boolean {
  return Number.isInteger(value) && value >= 0 && value < 2 ** (8 * width) && !Object.is(value, -0);
}

describe('every access of every BAR, at every offset, of every width', () => {
  for (const [name, layout] of Object.entries(layouts)) {
    it(`reads a value of its width, with ${name}`, () => {
      const rig = new PciRig(layout).start();
      const wrong: unknown[] = [];
      for (let bar = -1; bar <= 6; bar++) {
        const size = rig.pci.bars.find(({ index }) => index === bar)?.size ?? 16;
        for (let offset = -4; offset < size + 4; offset++) {
          for (const width of widths) {
            const value = rig.pci.readBar(bar, offset, width);
            if (!isValue(value, width)) wrong.push({ bar, offset, width, value });
          }
        }
      }
      expect(wrong).toEqual([]);
      expect(rig.device.status).toBe(0x0f);
    });

    it(`writes nothing but what belongs there, with ${name}`, () => {
      const { structures } = layout;
      for (const value of [0, 1, 0xffff_ffff, 0x1_0000_0005, -1]) {
        const rig = new PciRig(layout);
        const rest = Array.from({ length: 300 }, (_, n) => n - 8).concat(
          0x1000,
          0x1001,
          0x2000,
          0x2020,
          0x3000,
          0x3fff,
        );
        for (let bar = -1; bar <= 6; bar++) {
          for (const offset of rest) for (const width of widths) rig.pci.writeBar(bar, offset, width, value);
        }
        // Whatever that did to the registers: after a reset the device is as new, but for the count of its changes.
        rig.write(PciCommon.DEVICE_STATUS, 0);
        const { config_generation: _, ...asNew } = commonValues(new PciRig(layout));
        expect(commonValues(rig)).toMatchObject(asNew);
        rig.start();
        rig.offerRead();
        rig.pci.writeBar(structures.notify.bar, structures.notify.offset, 2, 0);
        expect([rig.device.status, rig.queue.usedIndex]).toEqual([0x0f, 1]);
      }
    });
  }

  it('takes of a value what its width holds', () => {
    const rig = new PciRig();
    rig.write(PciCommon.QUEUE_SELECT, 0x7_0001);
    expect(rig.read(PciCommon.QUEUE_SELECT)).toBe(1);
    rig.write(PciCommon.DEVICE_FEATURE_SELECT, -1);
    expect(rig.read(PciCommon.DEVICE_FEATURE_SELECT)).toBe(0xffff_ffff);
    rig.write(PciCommon.DEVICE_STATUS, 0x103);
    expect(rig.read(PciCommon.DEVICE_STATUS)).toBe(3);
  });

  it('of a common register with another width than its own has no effect', () => {
    for (const { offset, width } of commonRegisters.values()) {
      for (const other of widths.filter((each) => each !== width)) {
        const rig = new PciRig();
        const before = commonValues(rig);
        rig.pci.writeBar(0, offset, other, 3);
        expect(commonValues(rig)).toEqual(before);
        expect(rig.pci.readBar(0, offset, other)).toBe(0);
      }
    }
  });
});

/** All common registers, of all queues, as a driver reads them; the selectors are as they were. */
function commonValues(rig: PciRig): Record<string, number> {
  const values: Record<string, number> = {};
  const selected = rig.read(PciCommon.QUEUE_SELECT);
  for (const { name, offset } of commonRegisters.values()) values[name] = rig.read(offset);
  for (const queue of [0, 1]) {
    rig.write(PciCommon.QUEUE_SELECT, queue);
    for (const { name, offset } of commonRegisters.values()) {
      if (name.startsWith('queue_')) values[`${name} ${queue}`] = rig.read(offset);
    }
  }
  rig.write(PciCommon.QUEUE_SELECT, selected);
  return values;
}

/** What the standard forbids a device to show, in a state that it has reached by `step` from `before`. */
function forbidden(rig: PciRig, before: { status: number; values: Record<string, number> }, step: Step): string[] {
  const { status, accepted, offered } = rig.device;
  const values = commonValues(rig);
  const has = (bit: number): boolean => (status & bit) !== 0;
  const found: string[] = [];
  const must = (holds: boolean, what: string): void => void (holds || found.push(what));
  must((status & 0x20) === 0, 'a reserved status bit');
  must(!has(DRIVER_OK) || has(FEATURES_OK), 'DRIVER_OK without FEATURES_OK');
  must(!has(SUSPEND) || (has(FEATURES_OK) && hasFeature(accepted, Feature.SUSPEND)), 'SUSPEND without the feature');
  const negotiated = (accepted & ~offered) === 0n && hasFeature(accepted, Feature.VERSION_1);
  must(!has(FEATURES_OK) || negotiated, 'FEATURES_OK for features that were not offered');
  const packed = has(FEATURES_OK) && hasFeature(accepted, Feature.RING_PACKED);
  for (const queue of [0, 1]) {
    const size = values[`queue_size ${queue}`]!;
    must(size > 0 && size <= 16 && (packed || Number.isInteger(Math.log2(size))), `size ${size}`);
    must(values[`queue_enable ${queue}`]! <= 1, 'queue_enable');
    if (before.values[`queue_enable ${queue}`] === 1 && step.kind !== 'reset' && step.kind !== 'queue reset') {
      must(values[`queue_enable ${queue}`] === 1, 'a queue that is disabled without a reset');
    }
  }
  if (status === 0) must(values['queue_enable 0'] === 0 && values['queue_enable 1'] === 0, 'queues after a reset');
  const isSuspended = (value: number): boolean => (value & (SUSPEND | DRIVER_OK)) === SUSPEND;
  if (isSuspended(status) && isSuspended(before.status) && step.kind === 'other') {
    // The selectors work, and what they select changes with them; a change of before may be read only now.
    const moves = /select|device_status|feature|config_generation|^queue_\w+(\.\w+)?$/;
    const kept = Object.keys(values).filter((name) => !moves.test(name));
    for (const name of kept) must(values[name] === before.values[name], `${name} changed while suspended`);
  }
  const lost = before.status & ~status & ~(SUSPEND | DRIVER_OK);
  must(step.kind === 'reset' || lost === 0, 'status bits that went without a reset');
  return found;
}

interface Step {
  readonly kind: 'reset' | 'queue reset' | 'other';
  readonly name: string;
  /** The same rig, or the one in which it goes on. */
  run(rig: PciRig): PciRig;
}

function step(kind: Step['kind'], name: string, run: Step['run']): Step {
  return Object.assign({ kind, name, run }, { [fc.toStringMethod]: () => name });
}

function other(name: string, act: (rig: PciRig) => void, kind: Step['kind'] = 'other'): Step {
  return step(kind, name, (rig) => {
    act(rig);
    return rig;
  });
}

const values = fc.oneof(fc.constantFrom(0, 1, 2, 3, 0x0b, 0x0f, 0x10, 16, 0x1000, 0xffff_ffff), fc.nat(0xffff_ffff));
const registers = fc.constantFrom(...[...commonRegisters.values()]);
const statuses = fc.constantFrom(0x01, 0x03, 0x0b, 0x0f, 0x1f, 0x1f, 0x1f, 0x1b, 0x10, 0x04, 0x20, 0x40, 0x8f, 0xff);

const reset = other('reset', (rig) => rig.write(PciCommon.DEVICE_STATUS, 0), 'reset');
const start = step('reset', 'start', (rig) => {
  rig.write(PciCommon.DEVICE_STATUS, 0);
  // The queue of the rig is a split one.
  return rig.start(rig.device.offered & ~featureSet(Feature.RING_PACKED));
});
const startAndSuspend = step('reset', 'start and suspend', (rig) => {
  start.run(rig).write(PciCommon.DEVICE_STATUS, 0x1f);
  return rig;
});
const negotiate = (declined: number): Step =>
  other(
    `negotiate without ${declined}`,
    (rig) => {
      rig.write(PciCommon.DEVICE_STATUS, 0);
      rig.write(PciCommon.DEVICE_STATUS, 0x03);
      rig.accept(rig.device.offered & ~featureSet(declined));
      rig.write(PciCommon.DEVICE_STATUS, 0x0b);
    },
    'reset',
  );
const spoil = other('spoil the ring', ({ queue }) => {
  queue.availableIndex += 100;
});
const request = other('request', (rig) => {
  rig.offerRead();
  rig.notify(0);
});
const resize = other('resize', ({ disk }) => {
  disk.capacitySectors++;
  disk.onResize?.();
});

function writeRegister(register: number, name: string, value: number): Step {
  const isReset = register === PciCommon.DEVICE_STATUS && (value & 0xff) === 0;
  const kind = isReset ? 'reset' : register === PciCommon.QUEUE_RESET ? 'queue reset' : 'other';
  return other(`${name} = ${value}`, (rig) => rig.write(register, value), kind);
}

const anywhere: fc.Arbitrary<Step> = fc
  .record({
    bar: fc.constantFrom(0, 4),
    offset: fc.integer({ min: -2, max: 0x120 }),
    width: fc.constantFrom(...widths),
    value: values,
  })
  // Those that may reset are among the other steps.
  .filter(({ offset }) => offset !== PciCommon.DEVICE_STATUS && offset !== PciCommon.QUEUE_RESET)
  .map(({ bar, offset, width, value }) =>
    other(`bar ${bar} at ${offset}, ${width} bytes: ${value}`, ({ pci }) => {
      pci.writeBar(bar, offset, width, value);
      expect(isValue(pci.readBar(bar, offset, width), width)).toBe(true);
    }),
  );

const steps: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.tuple(registers, values).map(([{ offset, name }, value]) => writeRegister(offset, name, value)),
  },
  { weight: 4, arbitrary: statuses.map((value) => writeRegister(PciCommon.DEVICE_STATUS, 'status', value)) },
  { weight: 3, arbitrary: fc.constantFrom(start, startAndSuspend) },
  { weight: 2, arbitrary: fc.constantFrom(Feature.SUSPEND, Feature.RING_PACKED, 5).map(negotiate) },
  { weight: 1, arbitrary: fc.nat(3).map((queue) => other(`notify ${queue}`, (rig) => rig.notify(queue))) },
  { weight: 2, arbitrary: fc.constantFrom(request, resize, spoil, spoil) },
  { weight: 2, arbitrary: fc.constantFrom(step('other', 'move', move), reset) },
  { weight: 3, arbitrary: anywhere },
);

/** Goes on in a new function with the saved state of the old one, when there is one to save. */
function move(rig: PciRig): PciRig {
  if (!rig.device.isQuiet) {
    expect(() => rig.pci.save()).toThrow(/suspended by its driver or paused/);
    return rig;
  }
  const text = JSON.stringify(rig.pci.save());
  const next = new PciRig(rig.layout, OPTIONS);
  next.disk.capacitySectors = rig.disk.capacitySectors;
  next.memory.regions[0]!.bytes.set(rig.memory.regions[0]!.bytes);
  const before = commonValues(rig);
  next.pci.restore(JSON.parse(text));
  expect(commonValues(next)).toEqual(before);
  expect(JSON.stringify(next.pci.save())).toBe(text);
  expect(next.pci.interruptLine).toBe(rig.pci.interruptLine);
  return next;
}

const OPTIONS = { offer: [Feature.RING_PACKED, Feature.RING_RESET] };

describe('no sequence of accesses leads to a state that the standard forbids, nor to one that cannot be moved', () => {
  for (const [name, layout] of Object.entries(layouts)) {
    it(`with ${name}`, () => {
      const reached = new Map<number, number>();
      fc.assert(
        fc.property(fc.array(steps, { minLength: 1, maxLength: 40, size: 'max' }), (list) => {
          let rig = new PciRig(layout, OPTIONS);
          for (const each of list) {
            const before = { status: rig.device.status, values: commonValues(rig) };
            rig = each.run(rig);
            expect(forbidden(rig, before, each), `after ${each.name}`).toEqual([]);
            reached.set(rig.device.status, (reached.get(rig.device.status) ?? 0) + 1);
          }
        }),
        { seed: 20260108, numRuns: 200 },
      );
      // The interesting states came about.
      for (const status of [0x00, 0x03, 0x0b, 0x0f, 0x1b, 0x4f, 0x5b, 0x8f]) {
        expect(reached.get(status) ?? 0, describeStatus(status)).toBeGreaterThan(5);
      }
    });
  }
});
