import { describe, expect, it } from 'vitest';
import { NetDevice, type NetOptions } from '../../../../src/devices/net/device.ts';
import { NetFeature } from '../../../../src/devices/net/layout.ts';
import { type FeatureSet, featureSet } from '../../../../src/spec/features.ts';
import { NEXT, WRITE } from '../../../support/raw-queue.ts';
import { RawRig } from '../type-rig.ts';
import { type Waiting, waitingSuite } from '../waiting-suite.ts';

const FEATURES = featureSet(NetFeature.MAC, NetFeature.STATUS, NetFeature.MTU);
const WITHOUT_MTU = featureSet(NetFeature.MAC, NetFeature.STATUS);
const MAC = Uint8Array.of(0x52, 0x54, 0, 0x12, 0x34, 0x56);
const HEADER = 12;
const RECEIVE = 0;
const TRANSMIT = 1;
/** §5.1.6.3.1: a driver without offloads has buffers of at least so many bytes. */
const SMALLEST_BUFFER = 1526;

/** A frame of `length` bytes that holds `value` behind its Ethernet header. */
function frame(length: number, value = 1, kind: 'plain' | 'tagged' = 'plain'): Uint8Array {
  const bytes = new Uint8Array(length).fill(value, 14);
  bytes.set(kind === 'tagged' ? [0x81, 0x00] : [0x08, 0x00], 12);
  return bytes;
}

/** A frame with the header in front that a packet without offloads has. */
function packet(of: Uint8Array, header: Partial<Record<number, number>> = {}): Uint8Array {
  const bytes = new Uint8Array(HEADER + of.length);
  for (const [at, value] of Object.entries(header)) bytes[Number(at)] = value!;
  bytes.set(of, HEADER);
  return bytes;
}

interface Net {
  readonly rig: RawRig;
  readonly type: NetDevice;
  readonly sent: Uint8Array[];
}

function start(options: Partial<NetOptions> = {}, features: FeatureSet = FEATURES): Net {
  const sent: Uint8Array[] = [];
  const type = new NetDevice({ mac: MAC, transmit: (bytes) => sent.push(bytes), ...options });
  return { rig: new RawRig(type, features), type, sent };
}

describe('with buffers that wait', () => {
  waitingSuite({
    features: FEATURES,
    keepsArrivals: true,
    bufferBytes: SMALLEST_BUFFER,
    make: (): Waiting => {
      const type = new NetDevice({ mac: MAC, transmit: () => {} });
      return { type, arrive: (value) => type.receive(frame(60, value)) };
    },
    valueOf: (used) => (used.length === HEADER + 60 ? used[HEADER + 14]! : -1),
  });
});

describe('a network device', () => {
  it('has its address, link and MTU in the configuration space', () => {
    const { rig, type } = start({ mtu: 9000 });
    expect(type.config()).toHaveLength(12);
    expect(Array.from({ length: 6 }, (_, i) => rig.device.readConfig(i, 1))).toEqual([...MAC]);
    expect(rig.device.readConfig(6, 2)).toBe(1);
    expect(rig.device.readConfig(10, 2)).toBe(9000);
  });

  it('has an address of six bytes, which its owner cannot change behind it, and an MTU of 68 to 65535', () => {
    const transmit = (): void => {};
    expect(() => new NetDevice({ mac: new Uint8Array(5), transmit })).toThrow(RangeError);
    for (const mtu of [0, 67, 65_536, 1500.5])
      expect(() => new NetDevice({ mac: MAC, transmit, mtu })).toThrow(RangeError);
    for (const mtu of [68, 65_535]) expect(() => new NetDevice({ mac: MAC, transmit, mtu })).not.toThrow();
    const mac = MAC.slice();
    const type = new NetDevice({ mac, transmit });
    mac.fill(0);
    expect(type.config().slice(0, 6)).toEqual(MAC);
  });

  it('lets its driver write nothing', () => {
    const { rig } = start();
    for (let offset = 0; offset < 12; offset++) rig.device.writeConfig(offset, 1, 0xff);
    expect(rig.device.readConfig(0, 1)).toBe(0x52);
    expect(rig.device.readConfig(10, 2)).toBe(1500);
  });
});

describe('receiving', () => {
  it('puts a frame behind a header that names one buffer, however the buffer is divided', () => {
    const { rig, type } = start();
    const queue = rig.queues[RECEIVE]!;
    queue.descriptor(0, { address: rig.address(0), length: 10, flags: WRITE | NEXT, next: 1 });
    queue.descriptor(1, { address: rig.address(0) + 10, length: SMALLEST_BUFFER - 10, flags: WRITE });
    queue.offer(0);
    rig.device.kick(RECEIVE);
    const bytes = frame(1514, 7);
    type.receive(bytes);
    const [used] = rig.used(RECEIVE);
    expect([...used!.subarray(0, HEADER)]).toEqual([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0]);
    expect(used!.subarray(HEADER)).toEqual(bytes);
    expect(rig.events).toEqual(['used 0']);
  });

  it('keeps frames for buffers, the newest of them', () => {
    const { rig, type } = start({ backlog: 2 });
    for (const value of [1, 2, 3]) type.receive(frame(60, value));
    expect(type.dropped).toBe(1);
    for (let buffer = 0; buffer < 3; buffer++) rig.offerWritable(RECEIVE, buffer, SMALLEST_BUFFER);
    expect(rig.used(RECEIVE).map((used) => used[HEADER + 14])).toEqual([2, 3]);
  });

  it('drops frames without a driver, without a link, and after a reset', () => {
    const type = new NetDevice({ mac: MAC, transmit: () => {} });
    type.receive(frame(60));
    expect(type.dropped).toBe(1);
    const rig = new RawRig(type, FEATURES);
    type.setLink('down');
    type.receive(frame(60));
    type.setLink('up');
    expect(type.dropped).toBe(2);
    type.receive(frame(60, 3));
    rig.restart();
    rig.offerWritable(RECEIVE, 0, SMALLEST_BUFFER);
    expect(rig.used(RECEIVE)).toEqual([]);
  });

  it('drops frames beyond the MTU, whose header may have a VLAN tag', () => {
    const { rig, type } = start({ mtu: 1280 });
    for (let buffer = 0; buffer < 4; buffer++) rig.offerWritable(RECEIVE, buffer, 2048);
    type.receive(frame(1295));
    type.receive(frame(1299, 1, 'tagged'));
    expect(type.dropped).toBe(2);
    type.receive(frame(1294));
    type.receive(frame(1298, 1, 'tagged'));
    expect(rig.used(RECEIVE).map((used) => used.length - HEADER)).toEqual([1294, 1298]);
  });

  it('gives a driver without the MTU feature the frames of Ethernet', () => {
    const { rig, type } = start({ mtu: 9000 }, WITHOUT_MTU);
    rig.offerWritable(RECEIVE, 0, SMALLEST_BUFFER);
    type.receive(frame(1515));
    expect(type.dropped).toBe(1);
    type.receive(frame(1514));
    expect(rig.used(RECEIVE)).toHaveLength(1);
  });
});

describe('a receive buffer', () => {
  it('of the smallest allowed size stays when a frame comes that has a VLAN tag besides', () => {
    const { rig, type } = start();
    rig.offerWritable(RECEIVE, 0, SMALLEST_BUFFER);
    type.receive(frame(1518, 1, 'tagged'));
    expect(rig.device.failure).toBeUndefined();
    expect(type.dropped).toBe(1);
    expect(rig.device.inFlight).toBe(0);
    type.receive(frame(1514, 2, 'tagged'));
    expect(rig.used(RECEIVE).map((used) => used.length)).toEqual([SMALLEST_BUFFER]);
  });

  const tooSmall = [
    { name: 'the header', bytes: 11, options: {}, features: FEATURES, rule: 'net.driver.rxbuf.2' },
    { name: 'the frame', bytes: 1525, options: {}, features: FEATURES, rule: 'net.driver.rxbuf.2' },
    { name: 'the frame', bytes: 1525, options: { mtu: 9000 }, features: WITHOUT_MTU, rule: 'net.driver.rxbuf.2' },
    { name: 'its MTU', bytes: 1525, options: { mtu: 9000 }, features: FEATURES, rule: 'net.driver.config.8' },
  ];
  for (const { name, bytes, options, features, rule } of tooSmall) {
    it(`of ${bytes} bytes, without room for ${name}, is a driver’s mistake: ${rule}`, () => {
      const { rig, type } = start(options, features);
      rig.offerWritable(RECEIVE, 0, bytes);
      expect(rig.device.failure).toBeUndefined();
      type.receive(frame(1514));
      expect(rig.device.status).toBe(0x4f);
      expect(rig.rule).toBe(rule);
      expect(rig.queues[RECEIVE]!.usedIndex).toBe(0);
      rig.restart();
      rig.offerWritable(RECEIVE, 0, SMALLEST_BUFFER);
      type.receive(frame(60));
      expect(rig.used(RECEIVE)).toHaveLength(1);
    });
  }

  it('with a device-readable part is a driver’s mistake', () => {
    const { rig, type } = start();
    const queue = rig.queues[RECEIVE]!;
    queue.descriptor(0, { address: rig.address(0), length: 12, flags: NEXT, next: 1 });
    queue.descriptor(1, { address: rig.address(1), length: 1514, flags: WRITE });
    queue.offer(0);
    type.receive(frame(60));
    expect(rig.rule).toBe('net.driver.rxbuf.readable');
  });

  it('is not needed to restore a saved state, which holds frames and nothing else', () => {
    const type = new NetDevice({ mac: MAC, transmit: () => {} });
    for (const state of [undefined, null, {}, { waiting: 1 }, { waiting: ['abc'] }, { waiting: [[1, 256]] }]) {
      expect(() => type.restore(state, FEATURES)).toThrow('does not say which frames were waiting');
    }
  });
});

describe('sending', () => {
  it('hands frames over without their header, in order, and notifies once for a batch', () => {
    const { rig, sent } = start();
    const queue = rig.queues[TRANSMIT]!;
    for (const value of [1, 2]) {
      const bytes = packet(frame(60, value));
      rig.bytes.set(bytes, rig.address(value));
      queue.descriptor(value, { address: rig.address(value), length: bytes.length }).offer(value);
    }
    rig.device.kick(TRANSMIT);
    expect(sent).toEqual([frame(60, 1), frame(60, 2)]);
    expect(rig.used(TRANSMIT)).toEqual([new Uint8Array(0), new Uint8Array(0)]);
    expect(rig.events).toEqual(['used 1']);
  });

  it('ignores header flags that it does not know', () => {
    const { rig, sent } = start();
    rig.offerReadable(TRANSMIT, 0, packet(frame(60), { 0: 0xfe, 2: 1, 4: 2, 6: 3, 8: 4 }));
    expect(sent).toHaveLength(1);
  });

  it('drops frames beyond the MTU, and those without a link', () => {
    const { rig, type, sent } = start();
    rig.offerReadable(TRANSMIT, 0, packet(frame(1514)));
    rig.offerReadable(TRANSMIT, 1, packet(frame(1518, 1, 'tagged')));
    expect(sent).toHaveLength(2);
    rig.offerReadable(TRANSMIT, 2, packet(frame(1515)));
    rig.offerReadable(TRANSMIT, 3, packet(frame(1519, 1, 'tagged')));
    type.setLink('down');
    rig.offerReadable(TRANSMIT, 4, packet(frame(60)));
    expect(sent).toHaveLength(2);
    expect(type.dropped).toBe(3);
    expect(rig.queues[TRANSMIT]!.usedIndex).toBe(5);
  });

  const mistakes = [
    { what: 'no header', bytes: new Uint8Array(11), rule: 'net.driver.tx.header' },
    { what: 'no checksum', bytes: packet(frame(60), { 0: 1 }), rule: 'net.driver.tx.3' },
    { what: 'segments to be made', bytes: packet(frame(60), { 1: 1 }), rule: 'net.driver.tx.31' },
  ];
  for (const { what, bytes, rule } of mistakes) {
    it(`a packet with ${what} is a driver’s mistake, from which a reset recovers: ${rule}`, () => {
      const { rig, sent } = start();
      rig.offerReadable(TRANSMIT, 0, bytes);
      expect(rig.device.status).toBe(0x4f);
      expect(rig.rule).toBe(rule);
      expect(rig.queues[TRANSMIT]!.usedIndex).toBe(0);
      expect(rig.device.inFlight).toBe(0);
      rig.restart();
      rig.offerReadable(TRANSMIT, 0, packet(frame(60)));
      expect(sent).toHaveLength(1);
    });
  }

  it('to a receiver that throws fails the device, and a reset recovers', () => {
    let broken = true;
    const { rig } = start({
      transmit: () => {
        if (broken) throw new Error('no cable');
      },
    });
    rig.offerReadable(TRANSMIT, 0, packet(frame(60)));
    expect(rig.device.failure?.message).toBe('no cable');
    broken = false;
    rig.restart();
    rig.offerReadable(TRANSMIT, 0, packet(frame(60)));
    expect(rig.queues[TRANSMIT]!.usedIndex).toBe(1);
  });

  it('to a network that answers at once delivers the answer', () => {
    const type: NetDevice = new NetDevice({ mac: MAC, transmit: (bytes) => type.receive(bytes) });
    const rig = new RawRig(type, FEATURES);
    rig.offerWritable(RECEIVE, 0, SMALLEST_BUFFER);
    rig.offerReadable(TRANSMIT, 1, packet(frame(60, 5)));
    expect(rig.used(RECEIVE).map((used) => used.subarray(HEADER))).toEqual([frame(60, 5)]);
    expect(rig.queues[TRANSMIT]!.usedIndex).toBe(1);
  });
});

describe('the link', () => {
  const status = (rig: RawRig): number => rig.device.readConfig(6, 2);

  it('that changes is told at once to a running driver; that does not change is not', () => {
    const { rig, type } = start();
    type.setLink('up');
    expect(rig.events).toEqual([]);
    type.setLink('down');
    expect(rig.events).toEqual(['config']);
    expect(status(rig)).toBe(0);
  });

  it('that changes while suspended is shown, and told once, after the resume', () => {
    const { rig, type } = start();
    rig.suspend();
    rig.events.length = 0;
    expect(status(rig)).toBe(1);
    const { configGeneration } = rig.device;
    for (const state of ['down', 'up', 'down'] as const) type.setLink(state);
    expect(status(rig)).toBe(1);
    expect(rig.device.configGeneration).toBe(configGeneration);
    expect(rig.events).toEqual([]);
    rig.resume();
    expect(rig.events.filter((event) => event === 'config')).toHaveLength(1);
    expect(status(rig)).toBe(0);
    expect(rig.device.configGeneration).not.toBe(configGeneration);
  });
});
