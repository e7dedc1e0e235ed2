import { describe, expect, it } from 'vitest';
import type { AccessWidth } from '../../../../src/spec/access-width.ts';
import { ProtocolError } from '../../../../src/spec/fault.ts';
import { PciCommand, PciHeader, PciStatus, VirtioPciCap, VirtioPciCapType } from '../../../../src/spec/pci.ts';
import { type PciAccess, PciDriverTransport } from '../../../../src/transports/pci/driver.ts';

/** A PCI function that is bytes: whatever a test puts there. Logs the accesses of its BARs. */
class FakeFunction implements PciAccess {
  readonly config: Uint8Array = new Uint8Array(256);
  readonly view: DataView = new DataView(this.config.buffer);
  readonly bars = new Map<number, Uint8Array>();
  readonly log: string[] = [];
  onInterrupt: (() => void) | undefined;
  /** Answers come later, as from another process. */
  readonly #later: boolean;
  #end = 0x40;

  constructor(timing: 'now' | 'later' = 'now') {
    this.#later = timing === 'later';
    this.view.setUint16(PciHeader.VENDOR, 0x1af4, true);
    this.view.setUint16(PciHeader.DEVICE, 0x1042, true);
    this.view.setUint16(PciHeader.STATUS, PciStatus.CAPABILITIES, true);
    this.view.setUint16(PciHeader.COMMAND, 0x0100, true);
    for (let bar = 0; bar < 6; bar++) this.bars.set(bar, new Uint8Array(0x100));
  }

  /** Appends a capability to the list. */
  add(type: number, bar: number, offset: number, size: number, extra: { multiplier?: number; id?: number } = {}): this {
    const at = this.#end;
    const bytes = extra.multiplier === undefined ? 16 : 20;
    const { view } = this;
    if (at === 0x40) view.setUint8(PciHeader.CAPABILITIES, at);
    else view.setUint8(this.#last + VirtioPciCap.NEXT, at);
    view.setUint8(at + VirtioPciCap.VENDOR, extra.id ?? 0x09);
    view.setUint8(at + VirtioPciCap.LENGTH, bytes);
    view.setUint8(at + VirtioPciCap.TYPE, type);
    view.setUint8(at + VirtioPciCap.BAR, bar);
    view.setUint32(at + VirtioPciCap.OFFSET, offset, true);
    view.setUint32(at + VirtioPciCap.SIZE, size, true);
    if (extra.multiplier !== undefined) view.setUint32(at + VirtioPciCap.NOTIFY_MULTIPLIER, extra.multiplier, true);
    this.#last = at;
    this.#end += bytes;
    return this;
  }

  #last = 0;

  readConfig(offset: number, width: AccessWidth): number | Promise<number> {
    return this.#answer(offset + width > 256 ? 0 : get(this.view, offset, width));
  }

  writeConfig(offset: number, width: AccessWidth, value: number): void {
    set(this.view, offset, width, value);
  }

  readBar(bar: number, offset: number, width: AccessWidth): number | Promise<number> {
    this.log.push(`read ${bar}:${offset} ${width}`);
    const bytes = this.bars.get(bar)!;
    return this.#answer(get(new DataView(bytes.buffer), offset, width));
  }

  writeBar(bar: number, offset: number, width: AccessWidth, value: number): void {
    this.log.push(`write ${bar}:${offset} ${width} = ${value}`);
    set(new DataView(this.bars.get(bar)!.buffer), offset, width, value);
  }

  #answer(value: number): number | Promise<number> {
    return this.#later ? new Promise((resolve) => setImmediate(() => resolve(value))) : value;
  }
}

function get(view: DataView, offset: number, width: AccessWidth): number {
  return width === 1
    ? view.getUint8(offset)
    : width === 2
      ? view.getUint16(offset, true)
      : view.getUint32(offset, true);
}

function set(view: DataView, offset: number, width: AccessWidth, value: number): void {
  if (width === 1) view.setUint8(offset, value);
  else if (width === 2) view.setUint16(offset, value, true);
  else view.setUint32(offset, value, true);
}

const { COMMON, NOTIFY, ISR, DEVICE, SHARED_MEMORY } = VirtioPciCapType;

/** A function with everything, the structures in different BARs. */
function complete(timing?: 'now' | 'later'): FakeFunction {
  return new FakeFunction(timing)
    .add(COMMON, 0, 0x10, 64)
    .add(NOTIFY, 1, 0x20, 0x40, { multiplier: 4 })
    .add(ISR, 2, 0x30, 1)
    .add(DEVICE, 3, 0x40, 8);
}

describe('a driver does not take for a virtio device', () => {
  const others: readonly [string, string, (fn: FakeFunction) => void][] = [
    ['one of another vendor', 'pci.device.discovery.1', (fn) => fn.view.setUint16(PciHeader.VENDOR, 0x8086, true)],
    ['one that is not there', 'pci.device.discovery.1', (fn) => fn.config.fill(0xff)],
    ['a transitional one', 'pci.device.discovery.2', (fn) => fn.view.setUint16(PciHeader.DEVICE, 0x1001, true)],
    [
      'one beyond the ids of virtio',
      'pci.device.discovery.2',
      (fn) => fn.view.setUint16(PciHeader.DEVICE, 0x1080, true),
    ],
    ['one without capabilities', 'pci.device.common.2', (fn) => fn.view.setUint16(PciHeader.STATUS, 0, true)],
    ['one with an empty list', 'pci.device.common.2', (fn) => fn.view.setUint8(PciHeader.CAPABILITIES, 0)],
    ['one without a common structure', 'pci.device.common.2', (fn) => fn.view.setUint8(0x40 + VirtioPciCap.TYPE, 99)],
    ['one without notifications', 'pci.device.notifycap.1', (fn) => fn.view.setUint8(0x50 + VirtioPciCap.TYPE, 99)],
    ['one without an ISR', 'pci.device.isr.1', (fn) => fn.view.setUint8(0x64 + VirtioPciCap.TYPE, 99)],
    ['one whose list goes round', 'pci.device.cap.list', (fn) => fn.view.setUint8(0x74 + VirtioPciCap.NEXT, 0x40)],
    [
      'one whose list goes on at itself',
      'pci.device.cap.list',
      (fn) => fn.view.setUint8(0x50 + VirtioPciCap.NEXT, 0x50),
    ],
  ];
  for (const [name, rule, spoil] of others) {
    it(name, async () => {
      for (const timing of ['now', 'later'] as const) {
        const fn = complete(timing);
        spoil(fn);
        const before = fn.view.getUint16(PciHeader.COMMAND, true);
        await expect(PciDriverTransport.open(fn)).rejects.toMatchObject({ name: ProtocolError.name, rule });
        expect(fn.view.getUint16(PciHeader.COMMAND, true), 'it was not touched').toBe(before);
        expect(fn.log).toEqual([]);
      }
    });
  }
});

describe('a driver finds the structures (§4.1.4.1)', () => {
  it('wherever they are, and enables the function', async () => {
    const fn = complete();
    const transport = await PciDriverTransport.open(fn);
    expect(transport.deviceId).toBe(2);
    const { IO, MEMORY, BUS_MASTER } = PciCommand;
    expect(fn.view.getUint16(PciHeader.COMMAND, true)).toBe(0x0100 | IO | MEMORY | BUS_MASTER);
    transport.writeStatus(1);
    expect(fn.log).toEqual(['write 0:36 1 = 1']);
  });

  it('among capabilities that it does not know, and reserved types and BARs', async () => {
    const fn = new FakeFunction()
      .add(COMMON, 3, 0, 64, { id: 0x05 })
      .add(0, 3, 0, 64)
      .add(COMMON, 6, 0, 64)
      .add(COMMON, 255, 0, 64)
      .add(SHARED_MEMORY, 5, 0, 64)
      .add(COMMON, 0, 0x10, 0xffff_ffff)
      .add(COMMON, 3, 0, 64)
      .add(NOTIFY, 1, 0x20, 0x40, { multiplier: 0 })
      .add(ISR, 2, 0x30, 1);
    const transport = await PciDriverTransport.open(fn);
    transport.writeStatus(3);
    expect(fn.log, 'the first that can be used').toEqual(['write 0:36 1 = 3']);
  });

  it('at the end of configuration space', async () => {
    const fn = complete();
    fn.view.setUint8(0x74 + VirtioPciCap.NEXT, 0xfc);
    fn.view.setUint8(0xfc, 0x09);
    await expect(PciDriverTransport.open(fn)).resolves.toBeDefined();
  });
});

describe('a driver accesses', () => {
  it('every register with its own width, addresses by halves (§4.1.3.1)', async () => {
    const fn = complete();
    fn.bars.get(0)![0x10 + 18] = 3;
    fn.bars.get(0)![0x10 + 24] = 128;
    fn.bars.get(0)![0x10 + 30] = 5;
    const transport = await PciDriverTransport.open(fn);
    await transport.readFeatures();
    await transport.writeFeatures(0x1_0000_0002n);
    expect(await transport.readQueueSize(2)).toBe(128);
    expect(await transport.readQueueSize(3)).toBe(0);
    await transport.enableQueue(2, {
      size: 64,
      descriptorArea: 0x1_2345_6780,
      driverArea: 0x2000,
      deviceArea: 2 ** 52,
    });
    await transport.readConfigGeneration();
    expect(await transport.readStatus()).toBe(0);
    expect(fn.log).toEqual([
      ...['write 0:16 4 = 0', 'read 0:20 4', 'write 0:16 4 = 1', 'read 0:20 4'],
      ...['write 0:24 4 = 0', 'write 0:28 4 = 2', 'write 0:24 4 = 1', 'write 0:28 4 = 1'],
      ...['read 0:34 2', 'write 0:38 2 = 2', 'read 0:40 2', 'read 0:34 2'],
      ...['write 0:38 2 = 2', 'write 0:40 2 = 64', 'read 0:40 2'],
      ...[`write 0:48 4 = ${0x2345_6780}`, 'write 0:52 4 = 1', 'write 0:56 4 = 8192', 'write 0:60 4 = 0'],
      ...['write 0:64 4 = 0', `write 0:68 4 = ${2 ** 20}`, 'read 0:46 2', 'write 0:44 2 = 1'],
      ...['read 0:37 1', 'read 0:36 1'],
    ]);
    fn.log.length = 0;
    transport.kick(2);
    expect(fn.log, 'at the offset of the queue times the multiplier').toEqual([`write 1:${0x20 + 5 * 4} 2 = 2`]);
  });

  it('no queue whose size the device does not take', async () => {
    const fn = complete();
    const transport = await PciDriverTransport.open(fn);
    const { writeBar } = fn;
    fn.writeBar = (bar, offset, width, value) => {
      if (offset !== 0x10 + 24) writeBar.call(fn, bar, offset, width, value);
    };
    const layout = { size: 64, descriptorArea: 0, driverArea: 0, deviceArea: 0 };
    await expect(transport.enableQueue(0, layout)).rejects.toMatchObject({ rule: 'pci.device.common.queue_size' });
    expect(fn.log.some((entry) => entry.startsWith('write 0:44'))).toBe(false);
  });

  it('of the device configuration only what is there; the rest reads 0', async () => {
    const fn = complete();
    fn.bars.get(3)!.fill(0xee);
    const transport = await PciDriverTransport.open(fn);
    expect(await transport.readConfig(4, 4)).toBe(0xeeee_eeee);
    expect(await transport.readConfig(6, 4)).toBe(0);
    expect(await transport.readConfig(8, 1)).toBe(0);
    const touched = fn.log.map((entry) => Number(/:(\d+)/.exec(entry)![1]));
    expect(Math.max(...touched)).toBeLessThan(0x48);
    fn.log.length = 0;
    await transport.writeConfig(4, 2, 513);
    expect(fn.log).toEqual(['write 3:68 2 = 513']);
    expect(() => transport.writeConfig(6, 4, 1)).toThrow(RangeError);
    expect(() => transport.writeConfig(8, 1, 1)).toThrow(RangeError);
    expect(fn.log).toHaveLength(1);
  });

  it('no device configuration where there is none', async () => {
    const fn = new FakeFunction().add(COMMON, 0, 0x10, 64).add(NOTIFY, 1, 0, 4, { multiplier: 0 }).add(ISR, 2, 0, 1);
    fn.bars.get(0)!.fill(0xee);
    const transport = await PciDriverTransport.open(fn);
    expect(await transport.readConfig(0, 4)).toBe(0);
    expect(fn.log).toEqual([]);
  });
});

describe('an interrupt', () => {
  it('is dispatched by the ISR: used buffers, configuration, both, or neither', async () => {
    for (const timing of ['now', 'later'] as const) {
      const fn = complete(timing);
      const transport = await PciDriverTransport.open(fn);
      const told: string[] = [];
      fn.bars.get(2)![0x30] = 3;
      fn.onInterrupt?.();
      transport.onUsedBuffer = () => told.push('used');
      transport.onConfigChange = () => told.push('config');
      for (const isr of [0, 1, 2, 3, 0xfc]) {
        fn.bars.get(2)![0x30] = isr;
        fn.onInterrupt?.();
        await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
        told.push(`after ${isr}`);
      }
      expect(told.filter((entry) => entry.startsWith('after')).length).toBe(5);
      const late = timing === 'later' ? ['used', 'config'] : [];
      const expected = ['after 0', 'used', 'after 1', 'config', 'after 2', 'used', 'config', 'after 3', 'after 252'];
      expect(told).toEqual([...late, ...expected]);
      expect(fn.log.filter((entry) => entry === 'read 2:48 1')).toHaveLength(6);
    }
  });
});
