import { describe, expect, it } from 'vitest';
import { Device } from '../../../src/device/device.ts';
import type { QueueLayout } from '../../../src/queue/device-queue.ts';
import { ProtocolError } from '../../../src/spec/fault.ts';
import { Feature, featureSet } from '../../../src/spec/features.ts';
import { splitAreas } from '../../../src/spec/split-ring.ts';
import { ioLayout, PciDevice } from '../../../src/transports/pci/device.ts';
import { FILLER, FillingType } from '../../support/filling-type.ts';
import { GOOD, hostileQueue, hostileRings, MEMORY_BYTES, QUEUE_SIZE } from '../../support/hostile-rings.ts';
import { RawQueue, startDevice, WRITE } from '../../support/raw-queue.ts';
import { watch } from '../../support/rig.ts';

const FEATURES = featureSet(Feature.VERSION_1, Feature.INDIRECT_DESC, Feature.EVENT_IDX);

interface Victim {
  readonly raw: RawQueue;
  readonly type: FillingType;
  readonly device: Device;
  readonly pci: PciDevice;
  readonly events: string[];
}

function attack(): Victim {
  const raw = hostileQueue();
  const type = new FillingType();
  const device = new Device(type, raw.memory);
  const events = watch(device);
  return { raw, type, device, pci: new PciDevice(device, { layout: ioLayout }), events };
}

/** Everything but the used ring and the buffer of the good request is as in `before`. */
function expectUntouched({ memory, layout }: RawQueue, before: readonly Uint8Array[]): void {
  const usedEnd = layout.deviceArea + splitAreas(layout.size).device;
  for (const [n, bytes] of before.entries()) {
    const now = memory.regions[n]!.bytes.slice();
    if (n === 0) {
      now.set(bytes.subarray(layout.deviceArea, usedEnd), layout.deviceArea);
      now.set(bytes.subarray(GOOD.address, GOOD.address + GOOD.length), GOOD.address);
    }
    expect(Buffer.compare(now, bytes)).toBe(0);
  }
}

function expectNeedsReset({ device, pci, events }: Victim, rule: string): void {
  expect(device.status).toBe(0x4f);
  expect(device.failure).toBeInstanceOf(ProtocolError);
  expect((device.failure as ProtocolError).rule).toBe(rule);
  expect(events.at(-1), 'told after it is shown').toBe('config');
  expect(events.filter((event) => event === 'config')).toHaveLength(1);
  expect(pci.interruptLine).toBe(true);
  expect(pci.readBar(0, ioLayout.structures.isr.offset, 1) & 2).toBe(2);
}

/** After a reset the device serves as if nothing had been. */
function expectRecovers({ device, type, raw: { memory } }: Victim): void {
  device.writeStatus(0);
  expect([device.status, device.inFlight, device.failure]).toEqual([0, 0, undefined]);
  const raw = new RawQueue(memory, QUEUE_SIZE, 0);
  memory.regions[0]!.bytes.fill(0, 0, raw.end);
  startDevice(device, [raw.descriptor(0, { ...GOOD, flags: WRITE })], FEATURES);
  const before = type.served;
  raw.offer(0);
  device.kick(0);
  expect(device.status).toBe(0x0f);
  expect(type.served).toBe(before + 1);
  expect([raw.usedIndex, raw.used(0)]).toEqual([1, { id: 0, length: GOOD.length }]);
}

describe('a driver that breaks the rules of its rings meets DEVICE_NEEDS_RESET', () => {
  for (const { name, rule, set, withoutIndirect } of hostileRings) {
    it(name, () => {
      const attacked = attack();
      const { raw, device } = attacked;
      startDevice(device, [raw], withoutIndirect ? FEATURES & ~featureSet(Feature.INDIRECT_DESC) : FEATURES);
      raw.offer(0);
      device.kick(0);
      set(raw);
      const before = raw.memory.regions.map(({ bytes }) => bytes.slice());
      device.kick(0);
      expectNeedsReset(attacked, rule);
      expectUntouched(raw, before);
      // Kicks and status writes change nothing any more.
      device.kick(0);
      device.writeStatus(0x1f);
      expect(device.status).toBe(0x4f);
      expectUntouched(raw, before);
      expectRecovers(attacked);
    });
  }
});

describe('a driver that sets a queue up wrongly meets DEVICE_NEEDS_RESET at DRIVER_OK', () => {
  const layouts: readonly [string, Partial<QueueLayout>][] = [
    ['pci.driver.common.3', { size: 3 }],
    ['pci.driver.common.3', { size: 0 }],
    ['split.driver.layout.1', { descriptorArea: 8 }],
    ['split.driver.layout.1', { driverArea: 0x101 }],
    ['split.driver.layout.1', { deviceArea: 0x202 }],
    ['split.driver.layout.memory', { descriptorArea: MEMORY_BYTES }],
    ['split.driver.layout.memory', { driverArea: MEMORY_BYTES - 4 }],
    ['split.driver.layout.memory', { deviceArea: 2 ** 53 }],
  ];
  for (const [rule, part] of layouts) {
    it(`${rule} by ${JSON.stringify(part)}`, () => {
      const attacked = attack();
      const { raw, device } = attacked;
      const wrong = new RawQueue(raw.memory, QUEUE_SIZE, 0);
      wrong.layout = { ...raw.layout, ...part };
      const before = raw.memory.regions.map(({ bytes }) => bytes.slice());
      startDevice(device, [wrong], FEATURES);
      expectNeedsReset(attacked, rule);
      expectUntouched(raw, before);
      expectRecovers(attacked);
    });
  }
});

it('a device that failed in the middle of a batch publishes nothing of it, and forgets it at the reset', () => {
  const attacked = attack();
  const { raw, device, type } = attacked;
  startDevice(device, [raw], FEATURES);
  raw.offer(0).offer(0).offer(QUEUE_SIZE);
  device.kick(0);
  expect(type.served).toBe(2);
  expect(raw.usedIndex).toBe(0);
  expect(raw.memory.regions[0]!.bytes[GOOD.address]).toBe(FILLER);
  expectNeedsReset(attacked, 'split.driver.avail.head');
  expectRecovers(attacked);
});

it('a device type that throws in the middle of a request is reset with its device', () => {
  const attacked = attack();
  const { raw, device, type } = attacked;
  const { process } = type;
  type.process = () => {
    throw new Error('a bug of ours');
  };
  startDevice(device, [raw], FEATURES);
  raw.offer(0);
  device.kick(0);
  expect(device.status).toBe(0x4f);
  expect(device.failure?.message).toBe('a bug of ours');
  type.process = process;
  expectRecovers(attacked);
});
