import { describe, expect, it } from 'vitest';
import { Device } from '../../../../src/device/device.ts';
import type { DeviceOptions } from '../../../../src/device/device-options.ts';
import type { DevicePort, DeviceType } from '../../../../src/device/device-type.ts';
import { NetDevice, type NetOptions } from '../../../../src/devices/net/device.ts';
import { NetDriver } from '../../../../src/devices/net/driver.ts';
import { NetFeature } from '../../../../src/devices/net/layout.ts';
import { ProtocolError, StateError } from '../../../../src/spec/fault.ts';
import { featureSet } from '../../../../src/spec/features.ts';
import { pattern, type Way, ways } from '../../../support/rig.ts';
import { makeTypeRig, settled, type TypeRig } from '../type-rig.ts';

const MAC = Uint8Array.of(0x52, 0x54, 0, 0x12, 0x34, 0x56);

interface Net extends TypeRig<NetDevice, NetDriver> {
  /** What left the device, and what the driver received. */
  readonly sent: Uint8Array[];
  readonly received: Uint8Array[];
}

interface Options {
  readonly way?: Way;
  readonly type?: Partial<NetOptions>;
  readonly device?: DeviceOptions;
}

async function start({ way = 'direct', type, device }: Options = {}): Promise<Net> {
  const sent: Uint8Array[] = [];
  const received: Uint8Array[] = [];
  const made = new NetDevice({ mac: MAC, transmit: (frame) => sent.push(frame), ...type });
  const rig = await makeTypeRig(made, (transport, allocator) => new NetDriver(transport, allocator), {
    way,
    ...(device === undefined ? {} : { device }),
  });
  rig.driver.onFrame = (frame) => received.push(frame);
  await rig.driver.initialize();
  return { ...rig, sent, received };
}

/** A network device that puts `header` into the first buffer and says that it wrote `written` bytes. */
class LyingDevice implements DeviceType {
  readonly deviceId = 1;
  readonly features = featureSet(NetFeature.MTU);
  readonly queues = [
    { maxSize: 64, taking: 'eager' as const },
    { maxSize: 64, taking: 'onDemand' as const },
  ];
  readonly #header: Uint8Array;
  readonly #written: number;
  readonly #mtu: number;
  #port!: DevicePort;

  constructor(header: readonly number[], written: number, mtu = 1500) {
    this.#header = Uint8Array.from(header);
    this.#written = written;
    this.#mtu = mtu;
  }

  attach(port: DevicePort): void {
    this.#port = port;
  }

  config(): Uint8Array {
    const bytes = new Uint8Array(12);
    new DataView(bytes.buffer).setUint16(10, this.#mtu, true);
    return bytes;
  }

  process(...[queue, chain]: Parameters<NonNullable<DeviceType['process']>>): void {
    chain.write(0, this.#header, 0, this.#header.length);
    this.#port.complete(queue, chain, this.#written);
  }
}

for (const way of ways) {
  describe(`a network driver, over ${way}`, () => {
    it('sends and receives frames, both in order', async () => {
      const rig = await start({ way });
      const frames = [14, 60, 1514].map((length, seed) => pattern(length, seed));
      await Promise.all(frames.map((frame) => rig.driver.send(frame)));
      for (const frame of frames) rig.type.receive(frame);
      await settled();
      expect(rig.sent).toEqual(frames);
      expect(rig.received).toEqual(frames);
    });

    it('receives after a resume what came while it was suspended, in another device', async () => {
      const rig = await start({ way });
      await rig.driver.suspend();
      const frames = [60, 61].map((length) => pattern(length));
      for (const frame of frames) rig.type.receive(frame);
      await settled();
      expect(rig.received).toEqual([]);
      await expect(rig.driver.send(frames[0]!)).rejects.toThrow('send: the device is suspended');
      const state = JSON.stringify(rig.pci === undefined ? rig.device.save() : rig.pci.save());
      const next = new Device(new NetDevice({ mac: MAC, transmit: (frame) => rig.sent.push(frame) }), rig.memory);
      const pci = rig.replace(next);
      (pci ?? next).restore(JSON.parse(state));
      await rig.driver.resume();
      await settled();
      expect(rig.received).toEqual(frames);
      await rig.driver.send(frames[1]!);
      expect(rig.sent).toEqual([frames[1]]);
    });

    it('sees the link go, and come while it was suspended', async () => {
      const rig = await start({ way });
      const links: string[] = [];
      rig.driver.onLinkChange = (link) => links.push(link);
      expect(rig.driver.info.link).toBe('up');
      rig.type.setLink('down');
      await settled();
      expect(rig.driver.info.link).toBe('down');
      await rig.driver.suspend();
      rig.type.setLink('up');
      await settled();
      expect(links).toEqual(['down']);
      await rig.driver.resume();
      await settled();
      expect(links).toEqual(['down', 'up']);
    });
  });
}

describe('a network driver', () => {
  it('knows the address and the MTU of its device', async () => {
    const rig = await start({ type: { mtu: 9000 } });
    expect(rig.driver.info).toEqual({ mac: MAC, link: 'up', mtu: 9000 });
    const large = pattern(9014);
    rig.type.receive(large);
    await rig.driver.send(large);
    await settled();
    expect(rig.sent).toEqual([large]);
    expect(rig.received).toEqual([large]);
  });

  it('does without what the device does not offer', async () => {
    const withhold = [NetFeature.MAC, NetFeature.MTU, NetFeature.STATUS];
    const rig = await start({ type: { mtu: 9000 }, device: { withhold } });
    rig.type.setLink('down');
    await settled();
    expect(rig.driver.info).toEqual({ mac: undefined, link: 'up', mtu: 1500 });
  });

  it('refuses what is no frame', async () => {
    const { driver } = await start();
    for (const length of [0, 13, 1515]) await expect(driver.send(pattern(length))).rejects.toThrow(RangeError);
    const tagged = pattern(1518);
    tagged.set([0x81, 0x00], 12);
    await expect(driver.send(tagged)).resolves.toBeUndefined();
  });

  it('gives its memory back, and loses no frame that finds a buffer, many times over', async () => {
    const rig = await start();
    const free = rig.allocator.freeBytes;
    for (let i = 0; i < 200; i++) {
      rig.type.receive(pattern(60 + i, i));
      await rig.driver.send(pattern(60 + i, i));
    }
    await settled();
    expect(rig.received).toEqual(Array.from({ length: 200 }, (_, i) => pattern(60 + i, i)));
    expect(rig.allocator.freeBytes).toBe(free);
  });

  it('rejects what is out when the device fails, and works again after initialize', async () => {
    const rig = await start({
      type: {
        transmit: () => {
          throw new Error('no cable');
        },
      },
    });
    const free = rig.allocator.freeBytes;
    await expect(rig.driver.send(pattern(60))).rejects.toThrow('the device needs a reset');
    await expect(rig.driver.send(pattern(60))).rejects.toThrow(StateError);
    await rig.driver.initialize();
    expect(rig.allocator.freeBytes).toBe(free);
    rig.type.receive(pattern(60));
    await settled();
    expect(rig.received).toEqual([pattern(60)]);
  });
});

describe('a device that lies', () => {
  const lies = [
    { lie: 'a frame without a header', type: new LyingDevice([0, 0, 0], 3), rule: 'net.device.rx.header' },
    {
      lie: 'a frame in two buffers',
      type: new LyingDevice([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0], 60),
      rule: 'net.device.rx.1',
    },
  ];
  for (const { lie, type, rule } of lies) {
    it(`loses its driver for ${lie}`, async () => {
      const { driver, transport } = await makeTypeRig(type, (...of) => new NetDriver(...of));
      const frames: Uint8Array[] = [];
      driver.onFrame = (frame) => frames.push(frame);
      const failed = new Promise<Error>((resolve) => {
        driver.driver.onFailed = resolve;
      });
      await driver.initialize();
      expect(await failed).toBeInstanceOf(ProtocolError);
      expect(((await failed) as ProtocolError).rule).toBe(rule);
      expect(driver.driver.state).toBe('failed');
      expect(await transport.readStatus()).toBe(0);
      expect(frames).toEqual([]);
    });
  }

  it('about its MTU is not initialised', async () => {
    const { driver } = await makeTypeRig(new LyingDevice([], 0, 67), (...of) => new NetDriver(...of));
    await expect(driver.initialize()).rejects.toThrow('net.device.config.2');
    expect(driver.driver.state).toBe('failed');
  });
});
