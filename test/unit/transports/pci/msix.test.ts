/** MSI-X of the device end (§4.1.5.1, PCI 3.0 6.8.2). */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Device } from '../../../../src/device/device.ts';
import { BlockDevice } from '../../../../src/devices/block/device.ts';
import { GuestMemory } from '../../../../src/memory/guest-memory.ts';
import {
  Isr,
  Msix,
  NO_VECTOR,
  PCI_CAPABILITY_MSIX,
  PciCommon,
  PciHeader,
  VirtioPciCap,
} from '../../../../src/spec/pci.ts';
import { memoryLayout, PciDevice } from '../../../../src/transports/pci/device.ts';
import { MsixTable } from '../../../../src/transports/pci/msix-table.ts';
import { runs } from '../../../support/runs.ts';
import { PciRig } from './pci-rig.ts';

const VECTORS = 3;
const BAR = 1;
const ADDRESS = 0x1_fee0_0000;

/** A function with MSI-X enabled, each vector with a message of its own. */
class MsixRig extends PciRig {
  readonly messages: number[] = [];
  readonly control: number;

  constructor(vectors = VECTORS) {
    super(memoryLayout, {}, vectors);
    this.control = controlOf(this.pci);
    this.pci.onMessage = (address, data) => {
      expect(address).toBe(ADDRESS);
      this.messages.push(data);
    };
    for (let vector = 0; vector < vectors; vector++) this.program(vector);
    this.enable();
  }

  program(vector: number): void {
    this.entry(vector, Msix.ENTRY_ADDRESS, ADDRESS % 2 ** 32);
    this.entry(vector, Msix.ENTRY_ADDRESS + 4, 1);
    this.entry(vector, Msix.ENTRY_DATA, 100 + vector);
    this.entry(vector, Msix.ENTRY_CONTROL, 0);
  }

  entry(vector: number, offset: number, value: number): void {
    this.pci.writeBar(BAR, Msix.ENTRY_BYTES * vector + offset, 4, value);
  }

  mask(vector: number, masked = true): void {
    this.entry(vector, Msix.ENTRY_CONTROL, Number(masked));
  }

  enable(bits: number = Msix.ENABLE): void {
    this.pci.writeConfig(this.control, 2, bits);
  }

  get pending(): number {
    return this.pci.readBar(BAR, 2048, 4);
  }

  /** Maps configuration changes and queue 0. */
  map(config: number, queue: number): void {
    this.write(PciCommon.CONFIG_MSIX_VECTOR, config);
    this.write(PciCommon.QUEUE_SELECT, 0);
    this.write(PciCommon.QUEUE_MSIX_VECTOR, queue);
  }

  use(): void {
    this.queue.usedEvent = this.queue.usedIndex;
    this.offerRead();
    this.notify(0);
  }
}

/** Offset of the control register. */
function controlOf(pci: PciDevice): number {
  let at = pci.readConfig(PciHeader.CAPABILITIES, 1);
  while (at !== 0 && pci.readConfig(at, 1) !== PCI_CAPABILITY_MSIX) at = pci.readConfig(at + VirtioPciCap.NEXT, 1);
  return at + Msix.CONTROL;
}

function started(config = 0, queue = 1): MsixRig {
  const rig = new MsixRig();
  rig.start();
  rig.map(config, queue);
  return rig;
}

describe('a function with MSI-X', () => {
  it('says how many vectors it has, up to 2048 of them, and where', () => {
    for (const vectors of [1, 2, 3, 128, 129, 2048]) {
      const device = new Device(new BlockDevice(new PciRig().disk), GuestMemory.over(new Uint8Array(4096)));
      const pci = new PciDevice(device, { vectors });
      const at = controlOf(pci) - Msix.CONTROL;
      expect((pci.readConfig(at + Msix.CONTROL, 2) & Msix.LAST_VECTOR) + 1).toBe(vectors);
      const table = pci.readConfig(at + Msix.TABLE, 4);
      const pendingBits = pci.readConfig(at + Msix.PENDING, 4);
      const bar = pci.bars.find(({ index }) => index === (table & Msix.BAR_BITS))!;
      const [tableOffset, pendingOffset] = [table & ~Msix.BAR_BITS, pendingBits & ~Msix.BAR_BITS];
      expect(tableOffset + Msix.ENTRY_BYTES * vectors).toBeLessThanOrEqual(pendingOffset);
      expect(pendingOffset + Math.ceil(vectors / 64) * 8).toBeLessThanOrEqual(bar.size);
      expect(pendingBits & Msix.BAR_BITS).toBe(bar.index);
    }
    for (const vectors of [-1, 2049, 1.5, Number.NaN]) {
      const device = new Device(new BlockDevice(new PciRig().disk), GuestMemory.over(new Uint8Array(4096)));
      expect(() => new PciDevice(device, { vectors })).toThrow(RangeError);
    }
  });

  it('maps any event to any vector, none beyond, and shows what is mapped (§4.1.5.1.2)', () => {
    const rig = new MsixRig();
    expect(rig.read(PciCommon.CONFIG_MSIX_VECTOR)).toBe(NO_VECTOR);
    expect(rig.read(PciCommon.QUEUE_MSIX_VECTOR)).toBe(NO_VECTOR);
    for (let vector = 0; vector < VECTORS; vector++) {
      rig.map(vector, vector);
      expect([rig.read(PciCommon.CONFIG_MSIX_VECTOR), rig.read(PciCommon.QUEUE_MSIX_VECTOR)]).toEqual([vector, vector]);
    }
    for (const beyond of [VECTORS, 2047, 0x8000, NO_VECTOR]) {
      rig.map(beyond, beyond);
      expect(rig.read(PciCommon.CONFIG_MSIX_VECTOR)).toBe(NO_VECTOR);
      expect(rig.read(PciCommon.QUEUE_MSIX_VECTOR)).toBe(NO_VECTOR);
    }
    // A queue that is not there.
    rig.write(PciCommon.QUEUE_SELECT, 77);
    rig.write(PciCommon.QUEUE_MSIX_VECTOR, 1);
    expect(rig.read(PciCommon.QUEUE_MSIX_VECTOR)).toBe(NO_VECTOR);
  });

  it('unmaps all events at a reset; the table is not touched (§4.1.5.1.2)', () => {
    const rig = started();
    rig.write(PciCommon.DEVICE_STATUS, 0);
    expect([rig.read(PciCommon.CONFIG_MSIX_VECTOR), rig.read(PciCommon.QUEUE_MSIX_VECTOR)]).toEqual([
      NO_VECTOR,
      NO_VECTOR,
    ]);
    rig.start();
    rig.use();
    expect(rig.messages, 'nothing is mapped').toEqual([]);
    rig.map(0, 1);
    rig.use();
    expect(rig.messages).toEqual([101]);
  });

  it('sends a message for used buffers and one for changes, and no INTx; only changes show in the ISR (§4.1.4.5.1)', () => {
    const rig = started();
    rig.use();
    expect(rig.messages).toEqual([101]);
    rig.disk.onResize?.();
    expect(rig.messages).toEqual([101, 100]);
    expect(rig.line).toEqual([]);
    expect(rig.isr).toBe(Isr.CONFIG);
  });

  it('lets events share a vector', () => {
    const rig = started(2, 2);
    rig.use();
    rig.disk.onResize?.();
    expect(rig.messages).toEqual([102, 102]);
  });

  it('goes back to INTx when MSI-X is disabled, and nothing that waits goes out', () => {
    const rig = started();
    rig.mask(1);
    rig.use();
    expect(rig.pending).toBe(0b010);
    rig.enable(0);
    rig.mask(1, false);
    expect(rig.messages).toEqual([]);
    rig.use();
    expect([rig.messages, [...rig.line], rig.isr]).toEqual([[], [true], Isr.QUEUE]);
    rig.enable();
    expect(rig.messages, 'it had waited').toEqual([101]);
  });

  it('keeps a message whose vector is masked, once, and sends it when it is not any more', () => {
    const rig = started();
    rig.mask(1);
    rig.use();
    rig.use();
    rig.disk.onResize?.();
    expect([rig.messages, rig.pending]).toEqual([[100], 0b010]);
    rig.mask(1, false);
    expect([rig.messages, rig.pending]).toEqual([[100, 101], 0]);
  });

  it('keeps all messages while the function is masked', () => {
    const rig = started();
    rig.enable(Msix.ENABLE | Msix.MASK_ALL);
    rig.use();
    rig.disk.onResize?.();
    rig.mask(0);
    expect([rig.messages, rig.pending]).toEqual([[], 0b011]);
    rig.enable();
    expect([rig.messages, rig.pending]).toEqual([[101], 0b001]);
    rig.mask(0, false);
    expect(rig.messages).toEqual([101, 100]);
  });

  it('sends what the table says when the message goes out', () => {
    const rig = started();
    rig.mask(1);
    rig.use();
    rig.entry(1, Msix.ENTRY_DATA, 7);
    rig.mask(1, false);
    expect(rig.messages).toEqual([7]);
  });

  it('takes words alone in its table; bits of the control word but the mask are none; pending bits are read-only', () => {
    const { pci } = new MsixRig();
    for (const [offset, width] of [
      [0, 1],
      [0, 2],
      [2, 4],
      [VECTORS * Msix.ENTRY_BYTES, 4],
      [2047, 1],
    ] as const) {
      pci.writeBar(BAR, offset, width, 0xff);
      expect(pci.readBar(BAR, offset, width), `${offset}:${width}`).toBe(0);
    }
    expect(pci.readBar(BAR, 0, 4)).toBe(ADDRESS % 2 ** 32);
    pci.writeBar(BAR, Msix.ENTRY_CONTROL, 4, 0xffff_fffe);
    expect(pci.readBar(BAR, Msix.ENTRY_CONTROL, 4)).toBe(0);
    pci.writeBar(BAR, 2048, 4, 0xffff_ffff);
    expect(pci.readBar(BAR, 2048, 4)).toBe(0);
    for (const offset of [2052, 2056, 4092, 4096, 0x10000]) expect(pci.readBar(BAR, offset, 4)).toBe(0);
  });

  it('has writable bits in its control register for enable and mask alone', () => {
    const rig = new MsixRig();
    rig.enable(0xffff);
    expect(rig.pci.readConfig(rig.control, 2)).toBe(Msix.ENABLE | Msix.MASK_ALL | (VECTORS - 1));
    rig.enable(0);
    expect(rig.pci.readConfig(rig.control, 2)).toBe(VECTORS - 1);
  });

  it('is saved with its table, mappings and what waits, and goes on in another function', () => {
    const rig = started(2, 1);
    rig.mask(1);
    rig.use();
    rig.write(PciCommon.DEVICE_STATUS, 0x1f);
    const state = JSON.parse(JSON.stringify(rig.pci.save()));
    const next = new MsixRig();
    next.memory.regions[0]!.bytes.set(rig.memory.regions[0]!.bytes);
    for (let vector = 0; vector < VECTORS; vector++) next.entry(vector, Msix.ENTRY_DATA, 0);
    next.pci.restore(state);
    expect(JSON.parse(JSON.stringify(next.pci.save()))).toEqual(state);
    expect([next.messages, next.pending]).toEqual([[], 0b010]);
    next.mask(1, false);
    next.write(PciCommon.DEVICE_STATUS, 0x1f);
    next.disk.onResize?.();
    expect(next.messages).toEqual([101, 102]);
  });

  it('sends what waited when a state is restored whose masks let it', () => {
    const rig = started();
    rig.enable(Msix.ENABLE | Msix.MASK_ALL);
    rig.use();
    rig.write(PciCommon.DEVICE_STATUS, 0x1f);
    const next = new MsixRig();
    next.memory.regions[0]!.bytes.set(rig.memory.regions[0]!.bytes);
    next.pci.restore(rig.pci.save());
    expect(next.messages).toEqual([]);
    next.enable();
    expect(next.messages).toEqual([101]);
  });

  it('is not restored from a function with other vectors, or none', () => {
    const save = (rig: PciRig): unknown => {
      rig.start();
      rig.write(PciCommon.DEVICE_STATUS, 0x1f);
      return rig.pci.save();
    };
    expect(() => new MsixRig().pci.restore(save(new MsixRig(2)))).toThrow(/not 3 MSI-X vectors/);
    expect(() => new MsixRig().pci.restore(save(new PciRig(memoryLayout)))).toThrow(/no MSI-X, unlike this one/);
    expect(() => new PciRig(memoryLayout).pci.restore(save(new MsixRig()))).toThrow(/has MSI-X, unlike this one/);
  });
});

describe('the shared memory regions of a function', () => {
  const withRegions = (sharedMemory: NonNullable<typeof memoryLayout.structures.sharedMemory>): PciDevice => {
    const device = new Device(new BlockDevice(new PciRig().disk), GuestMemory.over(new Uint8Array(4096)));
    return new PciDevice(device, {
      layout: {
        bars: [...memoryLayout.bars, { index: 2, kind: 'memory', size: 0x10000 }],
        structures: { ...memoryLayout.structures, sharedMemory },
      },
    });
  };

  it('have ids of their own and lie in their BAR (§4.1.4.7.1)', () => {
    const region = { id: 1, bar: 2, offset: 0, length: 0x8000 };
    expect(withRegions([region, { ...region, id: 2, offset: 0x8000 }]).bars).toHaveLength(2);
    expect(() => withRegions([region, region])).toThrow(/two shared memory regions have the id 1/);
    expect(() => withRegions([{ ...region, offset: 0x8001 }])).toThrow(/region 1 is not inside BAR 2/);
    expect(() => withRegions([{ ...region, bar: 3 }])).toThrow(/region 1 is not inside BAR 3/);
    const many = Array.from({ length: 9 }, (_, id) => ({ ...region, id }));
    expect(() => withRegions(many)).toThrow(/9 shared memory regions do not fit/);
  });
});

it('property: a message goes out once for each time it is due, unless it waits; none is lost or made up', () => {
  const vector = fc.nat({ max: VECTORS });
  const command = fc.oneof(
    fc.record({ kind: fc.constant('signal' as const), vector }),
    fc.record({ kind: fc.constant('mask' as const), vector, masked: fc.boolean() }),
    fc.record({ kind: fc.constant('control' as const), enabled: fc.boolean(), masked: fc.boolean() }),
    fc.record({ kind: fc.constant('save' as const) }),
  );
  fc.assert(
    fc.property(fc.array(command, { maxLength: 60 }), (commands) => {
      let table = new MsixTable(VECTORS);
      const sent: number[] = [];
      const expected: number[] = [];
      const state = {
        enabled: false,
        masked: false,
        masks: new Array<boolean>(VECTORS).fill(true),
        waits: new Set<number>(),
      };
      const open = (made: MsixTable): void => {
        made.onMessage = (_address, data) => void sent.push(data);
      };
      open(table);
      for (let n = 0; n < VECTORS; n++) table.writeTable(Msix.ENTRY_BYTES * n + Msix.ENTRY_DATA, 4, n);
      for (const step of commands) {
        if (step.kind === 'signal') {
          table.signal(step.vector);
          if (state.enabled && step.vector < VECTORS) state.waits.add(step.vector);
        } else if (step.kind === 'mask') {
          table.writeTable(Msix.ENTRY_BYTES * step.vector + Msix.ENTRY_CONTROL, 4, Number(step.masked));
          if (step.vector < VECTORS) state.masks[step.vector] = step.masked;
        } else if (step.kind === 'control') {
          table.control = (step.enabled ? Msix.ENABLE : 0) | (step.masked ? Msix.MASK_ALL : 0);
          Object.assign(state, { enabled: step.enabled, masked: step.masked });
        } else {
          const saved = JSON.parse(JSON.stringify(table.save()));
          table = new MsixTable(VECTORS);
          open(table);
          table.check(saved);
          table.restore(saved);
        }
        if (state.enabled && !state.masked) {
          for (const each of [...state.waits].sort()) {
            if (state.masks[each] === true) continue;
            state.waits.delete(each);
            expected.push(each);
          }
        }
        expect(sent.toSorted()).toEqual(expected.toSorted());
        const bits = [...state.waits].reduce((sum, each) => sum | (1 << each), 0);
        expect(table.readPending(0, 4)).toBe(bits);
      }
    }),
    runs(1, 300),
  );
});
