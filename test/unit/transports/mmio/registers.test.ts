/** The registers of the device end (§4.2.2). */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BlockConfig } from '../../../../src/devices/block/layout.ts';
import type { AccessWidth } from '../../../../src/spec/access-width.ts';
import { Feature } from '../../../../src/spec/features.ts';
import { MMIO_MAGIC, MMIO_VERSION, Mmio, MmioInterrupt } from '../../../../src/spec/mmio.ts';
import { runs } from '../../../support/runs.ts';
import { MmioRig } from './mmio-rig.ts';

const { USED_BUFFER, CONFIG_CHANGE } = MmioInterrupt;
const WIDTHS = [1, 2, 4] as const satisfies readonly AccessWidth[];
const READABLE: readonly number[] = [
  ...[Mmio.MAGIC_VALUE, Mmio.VERSION, Mmio.DEVICE_ID, Mmio.VENDOR_ID, Mmio.DEVICE_FEATURES],
  ...[Mmio.QUEUE_SIZE_MAX, Mmio.QUEUE_READY, Mmio.INTERRUPT_STATUS, Mmio.STATUS],
  ...[Mmio.SHM_LEN, Mmio.SHM_LEN + 4, Mmio.SHM_BASE, Mmio.SHM_BASE + 4],
  ...[Mmio.QUEUE_RESET, Mmio.CONFIG_GENERATION],
];

describe('the registers', () => {
  it('say what they are, and of which device', () => {
    const rig = new MmioRig({ vendorId: 0x1234 });
    expect([Mmio.MAGIC_VALUE, Mmio.VERSION, Mmio.DEVICE_ID, Mmio.VENDOR_ID].map((at) => rig.read(at))).toEqual([
      MMIO_MAGIC,
      MMIO_VERSION,
      2,
      0x1234,
    ]);
  });

  it('show the offered features by words, whatever the selector is, and take the accepted ones', () => {
    const rig = new MmioRig();
    for (const word of [0, 1, 2, 3, 4, 31, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff]) {
      rig.write(Mmio.DEVICE_FEATURES_SEL, word);
      const expected = word > 3 ? 0n : (rig.device.offered >> BigInt(32 * word)) & 0xffff_ffffn;
      expect(rig.read(Mmio.DEVICE_FEATURES)).toBe(Number(expected));
    }
    rig.start();
    expect([rig.status, rig.device.accepted]).toEqual([0x0f, rig.device.offered]);
  });

  it('show a queue by its selector: its largest size, whether it is enabled; none where there is none', () => {
    const rig = new MmioRig().start();
    const shown = (index: number): number[] => {
      rig.write(Mmio.QUEUE_SEL, index);
      return [rig.read(Mmio.QUEUE_SIZE_MAX), rig.read(Mmio.QUEUE_READY)];
    };
    expect([0, 1, 2, 0xffff, 0xffff_ffff].map(shown)).toEqual([
      [16, 1],
      [16, 0],
      [0, 0],
      [0, 0],
      [0, 0],
    ]);
    rig.setUpQueue(77);
    expect(shown(77)).toEqual([0, 0]);
  });

  it('disable a queue that QueueReady is written 0 to: it is not touched any more (§4.2.2.1)', () => {
    const rig = new MmioRig().start();
    rig.write(Mmio.QUEUE_SEL, 0);
    rig.write(Mmio.QUEUE_READY, 0);
    expect(rig.read(Mmio.QUEUE_READY)).toBe(0);
    rig.use();
    expect([rig.queue.usedIndex, rig.disk.log.length, rig.read(Mmio.INTERRUPT_STATUS)]).toEqual([0, 0, 0]);
  });

  it('reset a queue when it was negotiated, and only then (§4.2.2.1)', () => {
    const rig = new MmioRig({}, { offer: [Feature.RING_RESET] }).start();
    rig.write(Mmio.QUEUE_SEL, 0);
    rig.write(Mmio.QUEUE_RESET, 0);
    expect(rig.read(Mmio.QUEUE_READY)).toBe(1);
    rig.write(Mmio.QUEUE_RESET, 1);
    expect([rig.read(Mmio.QUEUE_RESET), rig.read(Mmio.QUEUE_READY)]).toEqual([0, 0]);
    rig.memory.regions[0]!.bytes.fill(0);
    rig.setUpQueue();
    expect([rig.read(Mmio.QUEUE_RESET), rig.read(Mmio.QUEUE_READY)]).toEqual([0, 1]);
    rig.use();
    expect(rig.queue.usedIndex).toBe(1);
    const other = new MmioRig({}, { offer: [Feature.RING_RESET] });
    other.start(other.device.offered & ~(1n << BigInt(Feature.RING_RESET)));
    other.write(Mmio.QUEUE_RESET, 1);
    expect(other.read(Mmio.QUEUE_READY)).toBe(1);
  });

  it('reset everything at once: status, queues, interrupts, selectors (§4.2.2.1)', () => {
    const rig = new MmioRig().start();
    rig.use();
    rig.disk.onResize?.();
    rig.write(Mmio.QUEUE_SEL, 1);
    rig.write(Mmio.STATUS, 0);
    const all = [Mmio.STATUS, Mmio.INTERRUPT_STATUS, Mmio.QUEUE_READY, Mmio.QUEUE_RESET].map((at) => rig.read(at));
    expect([all, rig.line]).toEqual([
      [0, 0, 0, 0],
      [true, false],
    ]);
  });

  it('show the configuration in any width; a driver can write what the device lets it, and 0 lies behind it', () => {
    const rig = new MmioRig().start();
    rig.disk.capacitySectors = 0x1122_3344;
    rig.disk.onResize?.();
    expect(rig.mmio.read(Mmio.CONFIG, 4)).toBe(0x1122_3344);
    expect(rig.mmio.read(Mmio.CONFIG + 2, 2)).toBe(0x1122);
    expect(rig.mmio.read(Mmio.CONFIG + 1, 1)).toBe(0x33);
    rig.mmio.write(Mmio.CONFIG, 4, 5);
    expect(rig.mmio.read(Mmio.CONFIG, 4)).toBe(0x1122_3344);
    rig.mmio.write(Mmio.CONFIG + BlockConfig.WRITEBACK, 1, 0);
    expect(rig.mmio.read(Mmio.CONFIG + BlockConfig.WRITEBACK, 1)).toBe(0);
    for (const at of [BlockConfig.BYTES, 0x800, 0xffff_ff00]) expect(rig.mmio.read(Mmio.CONFIG + at, 4)).toBe(0);
  });

  it('count the changes that a driver could have seen half of', () => {
    const rig = new MmioRig().start();
    const before = rig.read(Mmio.CONFIG_GENERATION);
    expect(rig.read(Mmio.CONFIG_GENERATION)).toBe(before);
    rig.disk.onResize?.();
    expect(rig.read(Mmio.CONFIG_GENERATION)).not.toBe(before);
  });

  it('are 32 bit wide: another access reads 0 and writes nothing (§4.2.2.2)', () => {
    const rig = new MmioRig().start();
    rig.use();
    for (const register of READABLE) {
      for (const [offset, width] of [
        [register, 1],
        [register, 2],
        [register + 1, 1],
        [register + 2, 2],
      ] as const) {
        expect(rig.mmio.read(offset, width), `${offset}:${width}`).toBe(0);
      }
    }
    rig.mmio.write(Mmio.STATUS, 1, 0);
    rig.mmio.write(Mmio.STATUS, 2, 0);
    rig.mmio.write(Mmio.QUEUE_READY, 1, 0);
    rig.mmio.write(Mmio.INTERRUPT_ACK, 1, USED_BUFFER);
    expect([rig.status, rig.read(Mmio.INTERRUPT_STATUS)]).toEqual([0x0f, USED_BUFFER]);
  });

  it('that are write-only read 0, that are read-only take no write, and between them is nothing', () => {
    const rig = new MmioRig().start();
    const before = READABLE.map((at) => rig.read(at));
    const writable = new Set<number>([Mmio.QUEUE_READY, Mmio.STATUS, Mmio.QUEUE_RESET]);
    for (const register of READABLE) if (!writable.has(register)) rig.write(register, 0xffff_ffff);
    expect(READABLE.map((at) => rig.read(at))).toEqual(before);
    for (let at = 0; at < Mmio.CONFIG; at += 4) if (!READABLE.includes(at)) expect(rig.read(at), `${at}`).toBe(0);
  });
});

describe('the interrupt', () => {
  it('has a bit for each cause, and is up until both are acknowledged, in any order', () => {
    const rig = new MmioRig().start();
    expect(rig.mmio.interruptLine).toBe(false);
    rig.use();
    rig.disk.onResize?.();
    expect([rig.read(Mmio.INTERRUPT_STATUS), rig.line]).toEqual([USED_BUFFER | CONFIG_CHANGE, [true]]);
    rig.write(Mmio.INTERRUPT_ACK, 0xffff_fff0);
    rig.write(Mmio.INTERRUPT_ACK, USED_BUFFER);
    expect([rig.read(Mmio.INTERRUPT_STATUS), rig.mmio.interruptLine]).toEqual([CONFIG_CHANGE, true]);
    rig.use();
    expect(rig.read(Mmio.INTERRUPT_STATUS)).toBe(USED_BUFFER | CONFIG_CHANGE);
    rig.write(Mmio.INTERRUPT_ACK, USED_BUFFER | CONFIG_CHANGE);
    expect([rig.read(Mmio.INTERRUPT_STATUS), rig.line]).toEqual([0, [true, false]]);
  });

  it('does not go away by being looked at', () => {
    const rig = new MmioRig().start();
    rig.use();
    for (let n = 0; n < 3; n++) expect(rig.read(Mmio.INTERRUPT_STATUS)).toBe(USED_BUFFER);
    expect(rig.line).toEqual([true]);
  });
});

describe('shared memory (§4.2.2)', () => {
  const region = { id: 3, address: 0x1_2000_0000, length: 0x2_0000_1000 };

  it('is found by its id; an id that nobody has shows a length of -1', () => {
    const rig = new MmioRig({ sharedMemory: [region] });
    const shown = (id: number): number[] => {
      rig.write(Mmio.SHM_SEL, id);
      return [Mmio.SHM_LEN, Mmio.SHM_LEN + 4, Mmio.SHM_BASE, Mmio.SHM_BASE + 4].map((at) => rig.read(at));
    };
    expect(shown(3)).toEqual([0x1000, 2, 0x2000_0000, 1]);
    for (const id of [0, 4, 0xffff_ffff]) expect(shown(id)).toEqual(new Array(4).fill(0xffff_ffff));
  });

  it('has ids of its own for each region', () => {
    expect(() => new MmioRig({ sharedMemory: [region, region] })).toThrow(RangeError);
  });
});

it('property: any accesses leave a device that a reset brings back to work', () => {
  const access = fc.record({
    offset: fc.oneof(fc.nat({ max: 0x200 }), fc.constantFrom(...READABLE), fc.nat({ max: 0xffff_ffff })),
    width: fc.constantFrom(...WIDTHS),
    value: fc.oneof(fc.nat({ max: 0xffff_ffff }), fc.constantFrom(0, 1, 2, 3, 0x0b, 0x0f, 0x1f, 0x8000_0000)),
    kind: fc.constantFrom('read', 'write'),
  });
  fc.assert(
    fc.property(fc.array(access, { maxLength: 40 }), fc.boolean(), (accesses, started) => {
      const rig = new MmioRig({}, { offer: [Feature.RING_RESET] });
      if (started) rig.start();
      for (const { offset, width, value, kind } of accesses) {
        if (kind === 'write') rig.mmio.write(offset, width, value);
        else {
          const shown = rig.mmio.read(offset, width);
          expect(Number.isInteger(shown) && shown >= 0 && shown < 2 ** (8 * width)).toBe(true);
        }
      }
      rig.write(Mmio.STATUS, 0);
      expect(rig.status).toBe(0);
      rig.memory.regions[0]!.bytes.fill(0);
      rig.start().use();
      expect([rig.status, rig.queue.usedIndex]).toEqual([0x0f, 1]);
    }),
    runs(21, 300),
  );
});
