/** How buffers are taken and handed back: within one another's calls, twice, late, and from rings that make no sense. */
import { describe, expect, it } from 'vitest';
import { Device } from '../../../src/device/device.ts';
import { GuestMemory } from '../../../src/memory/guest-memory.ts';
import type { Chain } from '../../../src/queue/chain.ts';
import { Feature, featureSet } from '../../../src/spec/features.ts';
import { ControlledType, EVENTS, MORE_REQUESTS, REQUESTS } from '../../support/controlled-type.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { RawQueue, WRITE } from '../../support/raw-queue.ts';

const DATA = 0x4000;

interface Rig {
  readonly type: ControlledType;
  readonly device: Device;
  readonly clock: FakeClock;
  /** By hand: each descriptor is a buffer of four bytes. */
  readonly rings: readonly RawQueue[];
  /** Used buffer notifications, by queue. */
  readonly notified: number[];
  offer(queue: number, head: number): void;
}

function start(): Rig {
  const memory = GuestMemory.over(new Uint8Array(0x8000));
  const type = new ControlledType(8);
  const clock = new FakeClock();
  const device = new Device(type, memory, { clock });
  const rings = type.queues.map((_, n) => new RawQueue(memory, 8, 0x1000 * (n + 1)));
  const notified: number[] = [];
  device.transport = { usedBuffer: (queue) => notified.push(queue), configChange: () => {}, reset: () => {} };
  initialize(device, rings);
  const offer = (queue: number, head: number): void => {
    const ring = rings[queue]!;
    if (queue === EVENTS) ring.descriptor(head, { address: DATA + 4 * head, length: 4, flags: WRITE });
    else ring.descriptor(head, { address: DATA, length: 4, flags: 1, next: head + 1 });
    if (queue !== EVENTS) ring.descriptor(head + 1, { address: DATA + 4 * head, length: 4, flags: WRITE });
    ring.offer(head);
  };
  return { type, device, clock, rings, notified, offer };
}

function takes({ log }: ControlledType): string[] {
  return log.filter((line) => line.startsWith('take'));
}

function initialize(device: Device, rings: readonly RawQueue[]): void {
  device.writeStatus(0);
  const accepted = featureSet(Feature.VERSION_1);
  device.writeFeatures(0, Number(accepted & 0xffff_ffffn));
  device.writeFeatures(1, Number(accepted >> 32n));
  device.writeStatus(0x0b);
  for (const [index, { layout }] of rings.entries()) {
    device.configureQueue(index, (slot) => Object.assign(slot, layout));
    device.enableQueue(index);
  }
  device.writeStatus(0x0f);
}

describe('a kick within the call that processes a buffer', () => {
  it('is not lost, and buffers are still processed one after the other', () => {
    const { type, device, offer, rings, notified } = start();
    const log: string[] = [];
    let depth = 0;
    let left = 2;
    type.process = (queue, chain) => {
      log.push(`in ${++depth}`);
      if (left-- > 0) {
        offer(queue, 2 * (2 - left));
        device.kick(queue);
      }
      type.port.complete(queue, chain, 0);
      depth--;
    };
    offer(REQUESTS, 0);
    device.kick(REQUESTS);
    expect(log).toEqual(['in 1', 'in 1', 'in 1']);
    expect(rings[REQUESTS]!.usedIndex).toBe(3);
    expect(notified.length).toBeGreaterThan(0);
  });

  it('is not lost either when the driver has set the queue up anew meanwhile', () => {
    const { type, device, rings } = start();
    const { memory } = rings[REQUESTS]!;
    const next = new RawQueue(memory, 8, 0x5000);
    for (const ring of [rings[REQUESTS]!, next])
      ring.descriptor(0, { address: DATA, length: 4, flags: WRITE }).offer(0);
    type.process = (queue, chain) => {
      type.log.push(`take ${queue}`);
      if (device.queues[queue]!.descriptorArea !== next.layout.descriptorArea) {
        device.resetQueue(queue);
        device.configureQueue(queue, (slot) => Object.assign(slot, next.layout));
        device.enableQueue(queue);
        device.kick(queue);
      }
      type.port.complete(queue, chain, 0);
    };
    device.kick(REQUESTS);
    expect(takes(type)).toEqual(['take 0', 'take 0']);
    expect([rings[REQUESTS]!.usedIndex, next.usedIndex]).toEqual([0, 1]);
  });

  it('of another queue is for that queue', () => {
    const { type, device, offer, rings } = start();
    offer(MORE_REQUESTS, 0);
    offer(REQUESTS, 0);
    type.onRequest = () => device.kick(MORE_REQUESTS);
    device.kick(REQUESTS);
    expect(takes(type)).toEqual(['take 0', 'take 1']);
    expect(rings[MORE_REQUESTS]!.usedIndex).toBe(1);
  });
});

describe('a ring that makes no sense', () => {
  it.each([
    ['when its queue is kicked', (device: Device, queue: number) => device.kick(queue)],
    ['when its queue is looked at without a kick', (device: Device) => void device.service.poll()],
    ['when all queues are', (device: Device) => device.service.scan()],
  ])('puts the device into DEVICE_NEEDS_RESET, %s', (_, look) => {
    const { device, rings, type } = start();
    rings[REQUESTS]!.availableIndex = 100;
    look(device, REQUESTS);
    expect(device.status).toBe(0x4f);
    expect(device.failure).toMatchObject({ rule: expect.stringMatching(/^split\.driver\.avail/) });
    expect(takes(type)).toEqual([]);
    // Out of use with the device: nothing more comes of it.
    expect(device.service.poll()).toBe(0);
    expect(device.queues.map(({ queue }) => queue)).toEqual([undefined, undefined, undefined]);
  });

  it('of buffers that wait puts it there when one is asked for', () => {
    const { type, device, rings } = start();
    rings[EVENTS]!.availableIndex = 100;
    expect(type.port.take(EVENTS)).toBeUndefined();
    expect(device.status).toBe(0x4f);
  });

  it('of buffers that wait puts it there when memory is gone at a kick', () => {
    const { device, rings } = start();
    const { memory } = rings[EVENTS]!;
    memory.remove(memory.regions[0]!);
    device.kick(EVENTS);
    expect(device.status).toBe(0x4f);
    expect(device.failure).toMatchObject({ rule: 'split.driver.layout.memory' });
  });
});

describe('buffers that wait for the type', () => {
  it('are offered to it by a kick only where there are some', () => {
    const { type, device, offer } = start();
    let available = 0;
    type.available = () => available++;
    device.kick(EVENTS);
    expect(available).toBe(0);
    offer(EVENTS, 0);
    device.kick(EVENTS);
    expect(available).toBe(1);
  });

  it('are taken and given back: the next one is the same, and none was served', () => {
    const { type, device, offer } = start();
    offer(EVENTS, 3);
    const chain = type.port.take(EVENTS)!;
    expect([device.inFlight, device.queues[EVENTS]!.served]).toEqual([1, 1]);
    type.port.giveBack(EVENTS, chain);
    expect([device.inFlight, device.queues[EVENTS]!.served]).toEqual([0, 0]);
    const again = type.port.take(EVENTS)!;
    type.port.complete(EVENTS, again, 4);
    expect([device.inFlight, device.queues[EVENTS]!.served]).toEqual([0, 1]);
  });
});

describe('a chain', () => {
  const handBack: readonly [string, (rig: Rig, queue: number, chain: Chain) => void][] = [
    ['completed', ({ type }, queue, chain) => type.port.complete(queue, chain, 0)],
    ['given back', ({ type }, queue, chain) => type.port.giveBack(queue, chain)],
  ];

  it.each(handBack)('%s twice is the mistake of the device type, also when its queue is gone', (_, back) => {
    const rig = start();
    const { type, device, offer } = rig;
    offer(EVENTS, 0);
    const chain = type.port.take(EVENTS)!;
    back(rig, EVENTS, chain);
    expect(() => back(rig, EVENTS, chain)).toThrow(RangeError);
    device.writeStatus(0);
    expect(() => back(rig, EVENTS, chain)).toThrow(/handed back before/);
    expect(device.inFlight).toBe(0);
  });

  it.each(handBack)('of a former life is in flight until it is %s, and no buffer is taken before', (_, back) => {
    const rig = start();
    const { type, device, offer, rings } = rig;
    offer(EVENTS, 0);
    const chain = type.port.take(EVENTS)!;
    device.writeStatus(0);
    expect(device.inFlight).toBe(1);
    const saver = start();
    void saver.device.pause();
    expect(() => device.restore(saver.device.save())).toThrow(/just made or reset/);
    initialize(device, rings);
    offer(REQUESTS, 0);
    device.kick(REQUESTS);
    expect(takes(type)).toEqual([]);
    back(rig, EVENTS, chain);
    expect(takes(type)).toEqual(['take 0']);
    expect([device.inFlight, rings[EVENTS]!.usedIndex]).toEqual([0, 0]);
  });

  it('that was taken before its queue alone was reset holds up that queue, and no other', () => {
    const { type, device, offer, rings } = start();
    type.answering = 'when told';
    offer(REQUESTS, 0);
    device.kick(REQUESTS);
    device.resetQueue(REQUESTS);
    const again = new RawQueue(rings[0]!.memory, 8, 0x5000);
    device.configureQueue(REQUESTS, (slot) => Object.assign(slot, again.layout));
    device.enableQueue(REQUESTS);
    again.descriptor(0, { address: DATA, length: 4, flags: 1, next: 1 });
    again.descriptor(1, { address: DATA, length: 4, flags: WRITE }).offer(0);
    offer(MORE_REQUESTS, 0);
    device.service.scan();
    expect(takes(type)).toEqual(['take 0', 'take 1']);
    type.answer();
    expect(takes(type)).toEqual(['take 0', 'take 1', 'take 0']);
    expect(rings[REQUESTS]!.usedIndex).toBe(0);
  });
});
