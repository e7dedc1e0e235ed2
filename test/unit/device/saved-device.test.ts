import { describe, expect, it } from 'vitest';
import { Device } from '../../../src/device/device.ts';
import type { DeviceOptions } from '../../../src/device/device-options.ts';
import { withoutQueues } from '../../../src/device/saved-device.ts';
import { seal } from '../../../src/device/sealed.ts';
import { BlockDevice } from '../../../src/devices/block/device.ts';
import { StateError } from '../../../src/spec/fault.ts';
import { Feature } from '../../../src/spec/features.ts';
import { FaultyDisk } from '../../../src/storage/faulty-disk.ts';
import { MemoryDisk } from '../../../src/storage/memory-disk.ts';
import { settle } from '../../support/fake-clock.ts';
import { type BlockRig, pattern, startBlockRig } from '../../support/rig.ts';

interface Plain {
  format: string;
  version: number;
  checksum: number;
  body: Record<string, unknown> & { queues: Record<string, unknown>[]; config: Record<string, unknown> };
}

const formats = { split: {}, packed: { offer: [Feature.RING_PACKED] } } as const;

function json(value: unknown): Plain {
  return JSON.parse(JSON.stringify(value)) as Plain;
}

function newDevice(rig: BlockRig, options: DeviceOptions = {}): Device {
  return new Device(new BlockDevice(rig.disk), rig.memory, options);
}

/** A saved state with a right checksum, whatever is in it. */
function sealed(body: unknown): unknown {
  return seal('virtio device', 1, body);
}

describe.each(Object.entries(formats))('a saved device with %s queues', (_, options) => {
  it('goes on in a new one when it was saved suspended', async () => {
    const rig = await startBlockRig({ device: options });
    await rig.driver.write(0, pattern(4096));
    await rig.driver.suspend();
    const next = newDevice(rig, options);
    next.restore(json(rig.device.save()));
    rig.replace(next);
    expect(next.status).toBe(0x1b);
    expect(next.isQuiet).toBe(true);
    await rig.driver.resume();
    expect(await rig.driver.read(0, 4096)).toEqual(pattern(4096));
  });

  it('goes on in a new one when it was saved paused, with buffers that nobody has taken', async () => {
    const rig = await startBlockRig({ device: options });
    await rig.driver.write(8, pattern(512, 3));
    await rig.device.pause();
    const read = rig.driver.read(8, 512);
    await Promise.resolve();
    const next = newDevice(rig, options);
    next.restore(json(rig.device.save()));
    rig.replace(next);
    expect(next.status).toBe(0x0f);
    expect(next.paused).toBe(true);
    next.continue();
    expect(await read).toEqual(pattern(512, 3));
  });

  it('needs both owners to let go when it was suspended and paused', async () => {
    const rig = await startBlockRig({ device: options });
    await rig.driver.suspend();
    await rig.device.pause();
    const next = newDevice(rig, options);
    next.restore(json(rig.device.save()));
    rig.replace(next);
    const resumed = rig.driver.resume();
    await Promise.resolve();
    expect(next.status).toBe(0x1b);
    next.continue();
    await resumed;
    expect(next.status).toBe(0x0f);
  });

  it('is resumed by letting go of the pause when it was saved in the middle of a resume', async () => {
    const rig = await startBlockRig({ device: options });
    await rig.driver.suspend();
    await rig.device.pause();
    rig.device.writeStatus(0x1f);
    const next = newDevice(rig, options);
    next.restore(json(rig.device.save()));
    expect(next.status).toBe(0x1b);
    next.continue();
    expect(next.status).toBe(0x0f);
  });

  it('keeps a failure, and is left by a reset', async () => {
    const rig = await startBlockRig({ device: options });
    await rig.device.pause();
    rig.device.fail(new Error('the disk burnt down'));
    const next = newDevice(rig, options);
    next.restore(json(rig.device.save()));
    expect(next.status).toBe(0x4f);
    expect(next.failure?.message).toBe('the disk burnt down');
    next.writeStatus(0);
    expect(next.status).toBe(0);
  });
});

describe('saving', () => {
  it('is refused while the device is not at rest', async () => {
    const disk = new FaultyDisk(new MemoryDisk({ capacitySectors: 64 }));
    const rig = await startBlockRig({ disk });
    expect(() => rig.device.save()).toThrow(StateError);
    disk.hold();
    const read = rig.driver.read(0, 512);
    await settle();
    expect(disk.held).toHaveLength(1);
    const paused = rig.device.pause();
    expect(() => rig.device.save()).toThrow(/suspended by its driver or paused by its host/);
    disk.finish(1);
    await paused;
    expect(() => rig.device.save()).not.toThrow();
    rig.device.continue();
    await read;
  });
});

describe('restoring', () => {
  it('holds a change of the capacity until the device runs, and tells it once', async () => {
    const rig = await startBlockRig({ disk: new MemoryDisk({ capacitySectors: 100 }) });
    await rig.driver.suspend();
    const saved = json(rig.device.save());
    const next = new Device(new BlockDevice(new MemoryDisk({ capacitySectors: 200 })), rig.memory);
    const told: string[] = [];
    next.observer = { configNotified: () => told.push(`0x${next.status.toString(16)}`) };
    next.restore(saved);
    rig.replace(next);
    expect(next.readConfig(0, 4)).toBe(100);
    expect(told).toEqual([]);
    await rig.driver.resume();
    expect(next.readConfig(0, 4)).toBe(200);
    expect(told).toEqual(['0xf']);
  });

  it('starts a queue in use that has no positions at the beginning', async () => {
    const rig = await startBlockRig();
    await rig.driver.suspend();
    const { body } = json(rig.device.save());
    const next = newDevice(rig);
    next.restore(sealed({ ...body, queues: [{ ...body.queues[0], positions: null }] }));
    rig.replace(next);
    await rig.driver.resume();
    await rig.driver.write(3, pattern(512, 7));
    expect(await rig.driver.read(3, 512)).toEqual(pattern(512, 7));
  });

  it('is refused by a device that is in use', async () => {
    const rig = await startBlockRig();
    await rig.driver.suspend();
    const saved = json(rig.device.save());
    await rig.driver.resume();
    expect(() => rig.device.restore(saved)).toThrow(/just made or reset/);
  });

  it('names what is no saved device, another version, and damage', async () => {
    const rig = await startBlockRig();
    await rig.driver.suspend();
    const saved = json(rig.device.save());
    const cases: [unknown, RegExp][] = [
      [undefined, /not a saved virtio device/],
      [null, /not a saved virtio device/],
      ['text', /not a saved virtio device/],
      [{ ...saved, format: 'something' }, /not a saved virtio device/],
      [{ ...saved, version: 2 }, /version 2; this program reads version 1/],
      [{ ...saved, checksum: saved.checksum ^ 1 }, /damaged/],
      [{ ...saved, body: { ...saved.body, status: 0x0f } }, /damaged/],
    ];
    for (const [state, reason] of cases) {
      const next = newDevice(rig);
      expect(() => next.restore(state)).toThrow(StateError);
      expect(() => next.restore(state)).toThrow(reason);
      expect(next.status).toBe(0);
    }
  });

  it('names what does not fit the device, and changes nothing', async () => {
    const rig = await startBlockRig();
    await rig.driver.write(0, pattern(512));
    await rig.driver.suspend();
    const { body } = json(rig.device.save());
    const [queue] = body.queues;
    const withQueue = (change: Record<string, unknown>): unknown => ({ ...body, queues: [{ ...queue, ...change }] });
    const withConfig = (change: Record<string, unknown>): unknown => ({
      ...body,
      config: { ...body.config, ...change },
    });
    const positions = queue!['positions'] as Record<string, unknown>;
    const cases: [unknown, RegExp][] = [
      [{ ...body, deviceId: 1 }, /device with id 1/],
      [{ ...body, accepted: 'none' }, /not a hexadecimal number/],
      [{ ...body, accepted: '1z' }, /not a hexadecimal number/],
      [{ ...body, accepted: 'z1' }, /not a hexadecimal number/],
      [{ ...body, accepted: '' }, /not a hexadecimal number/],
      [{ ...body, accepted: (1n << 50n).toString(16) }, /feature 50/],
      [{ ...body, accepted: (1n << 32n).toString(16) }, /VIRTIO_F_SUSPEND was not negotiated/],
      [
        { ...body, state: 'resuming', paused: true, accepted: (1n << 32n).toString(16) },
        /resuming, but VIRTIO_F_SUSPEND was not negotiated/,
      ],
      [{ ...body, paused: 'no' }, /whether it was paused or had failed/],
      [{ ...body, failure: 5 }, /whether it was paused or had failed/],
      [{ ...body, failure: undefined }, /whether it was paused or had failed/],
      [{ ...body, status: 0x0f }, /does not go with "suspended"/],
      [{ ...body, status: 0x1_1b }, /does not go with/],
      [{ ...body, status: 0x1b - 0x100 }, /does not go with/],
      [{ ...body, status: '27' }, /does not go with/],
      [{ ...body, state: 'dancing' }, /does not go with "dancing"/],
      [{ ...body, state: 'suspending', status: 0x1f }, /does not go with "suspending"/],
      [{ ...body, state: 'running', status: 0x0f }, /neither suspended nor paused/],
      [{ ...body, queues: [] }, /0 queues, this device 1/],
      [{ ...body, queues: 5 }, /no queues/],
      [{ ...body, config: null }, /no queues or no configuration/],
      [{ ...body, config: undefined }, /no queues or no configuration/],
      [null, /no queues or no configuration/],
      ['text', /no queues or no configuration/],
      [withConfig({ bytes: [1, 2] }), /has 2 bytes/],
      [withConfig({ bytes: [...(body.config['bytes'] as number[]), 0] }), /has 61 bytes/],
      [withConfig({ bytes: 60 }), /not bytes/],
      [withConfig({ bytes: [300] }), /not bytes/],
      [withConfig({ bytes: ['1'] }), /not bytes/],
      [withConfig({ generation: -1 }), /not bytes/],
      [withConfig({ generation: 2 ** 32 }), /not bytes/],
      [withConfig({ generation: 0.5 }), /not bytes/],
      [withConfig({ changedSinceRead: 1 }), /held back/],
      [withConfig({ changeHeld: 1 }), /held back/],
      [withConfig({ notificationOwed: undefined }), /held back/],
      [{ ...body, queues: [null] }, /queue 0 has undefined entries/],
      [withQueue({ size: 512 }), /512 entries/],
      [withQueue({ size: '8' }), /8 entries/],
      [withQueue({ descriptorArea: -16 }), /not addresses/],
      [withQueue({ driverArea: '0' }), /not addresses/],
      [withQueue({ deviceArea: 2 ** 65 }), /not addresses/],
      [withQueue({ enabled: 1 }), /whether it is enabled/],
      [withQueue({ descriptorArea: 8 }), /queue 0: .*not aligned/],
      [withQueue({ deviceArea: 1 << 30 }), /queue 0: .*not in guest memory/],
      [withQueue({ enabled: false }), /positions but is not in use/],
      [{ ...body, state: 'initializing', status: 0x0b, paused: true }, /positions but is not in use/],
      [withQueue({ descriptorArea: 8, positions: null }), /queue 0: .*not aligned/],
      [withQueue({ positions: { ...positions, format: 'packed' } }), /not a split queue/],
      [withQueue({ positions: { ...positions, availableNext: 65_536 } }), /not belong to a queue at rest/],
      [withQueue({ positions: { ...positions, availableNext: -1, usedNext: -1 } }), /not belong to a queue at rest/],
      [withQueue({ positions: { ...positions, availableNext: 65_536, usedNext: 65_536 } }), /not belong to a queue/],
      [withQueue({ positions: { ...positions, usedNext: 9 } }), /not belong to a queue at rest/],
      [withQueue({ positions: 'none' }), /not a split queue/],
      [{ ...body, type: {} }, /cache mode/],
    ];
    for (const [changed, reason] of cases) {
      const next = newDevice(rig);
      expect(() => next.restore(sealed(changed)), String(reason)).toThrow(reason);
      expect(next.status).toBe(0);
      expect(next.accepted).toBe(0n);
      expect(next.isQuiet).toBe(false);
    }
    // The same device takes the right one.
    const next = newDevice(rig);
    next.restore(sealed(body));
    expect(next.status).toBe(0x1b);
  });

  it('names positions that no packed queue of its size has at rest', async () => {
    const device = { offer: [Feature.RING_PACKED] };
    const rig = await startBlockRig({ device });
    await rig.driver.write(0, pattern(512));
    await rig.driver.suspend();
    const { body } = json(rig.device.save());
    const [queue] = body.queues;
    const size = queue!['size'] as number;
    const { positions } = queue as { positions: Record<string, unknown> };
    expect(positions).toMatchObject({ availableNext: 1, availableWrap: 1, usedNext: 1, usedWrap: 1 });
    const cases: [Record<string, unknown>, RegExp][] = [
      [{ format: 'split' }, /not a packed queue/],
      [{ availableNext: size, usedNext: size }, /the positions of queue 0/],
      [{ usedNext: 2 }, /the positions of queue 0/],
      [{ availableWrap: 2, usedWrap: 2 }, /the wrap counters of queue 0/],
      [{ usedWrap: 0 }, /the wrap counters of queue 0/],
    ];
    for (const [change, reason] of cases) {
      const queues = [{ ...queue, positions: { ...positions, ...change } }];
      expect(() => newDevice(rig, device).restore(sealed({ ...body, queues })), String(reason)).toThrow(reason);
    }
    // The last entry of a ring is a place to rest at.
    const last = { ...positions, availableNext: size - 1, usedNext: size - 1 };
    const next = newDevice(rig, device);
    next.restore(sealed({ ...body, queues: [{ ...queue, positions: last }] }));
    expect(next.status).toBe(0x1b);
  });

  it('takes the largest values that registers and positions can have', async () => {
    const rig = await startBlockRig();
    await rig.driver.suspend();
    const { body } = json(rig.device.save());
    const [queue] = body.queues;
    const unused = { ...queue, enabled: false, positions: null };
    const bytes = (body.config['bytes'] as number[]).map(() => 0xff);
    const extremes: Record<string, unknown>[] = [
      { config: { ...body.config, bytes, generation: 0xffff_ffff } },
      { queues: [{ ...unused, descriptorArea: 2 ** 64, driverArea: 2 ** 64, deviceArea: 2 ** 64 }] },
      { queues: [{ ...unused, descriptorArea: 0, driverArea: 0, deviceArea: 0, size: 0 }] },
    ];
    for (const change of extremes) {
      const next = newDevice(rig);
      next.restore(sealed({ ...body, ...change }));
      expect(next.status).toBe(0x1b);
    }
  });

  it('takes an index of a split ring that is beyond its size, as it is after some time', async () => {
    const rig = await startBlockRig();
    await rig.driver.suspend();
    const { body } = json(rig.device.save());
    const [queue] = body.queues;
    const { driverArea, deviceArea } = rig.device.queues[0]!;
    const { view, address } = rig.memory.regions[0]!;
    for (const area of [driverArea, deviceArea]) view.setUint16(area - address + 2, 0xffff, true);
    const positions = { ...(queue!['positions'] as object), availableNext: 0xffff, usedNext: 0xffff };
    const next = newDevice(rig);
    next.restore(sealed({ ...body, queues: [{ ...queue, positions }] }));
    next.writeStatus(0x1f);
    expect(next.status).toBe(0x0f);
  });

  it('without its queues goes on where somebody else says that they are', async () => {
    const rig = await startBlockRig();
    await rig.driver.write(5, pattern(512, 4));
    await rig.driver.suspend();
    const saved = json(rig.device.save());
    const [queue] = saved.body.queues;
    const bare = json(withoutQueues(saved));
    expect(bare.body).toEqual({ ...saved.body, queues: [{ ...queue, enabled: false, positions: null }] });
    const next = newDevice(rig);
    next.restore(bare);
    expect(next.queues[0]).toMatchObject({ enabled: false, queue: undefined });
    expect(() => withoutQueues(sealed(null))).toThrow(/no queues/);
    expect(() => withoutQueues(sealed({ ...saved.body, queues: 1 }))).toThrow(/no queues/);
    expect(() => withoutQueues({ ...saved, version: 2 })).toThrow(/version 2/);
  });

  it('ends in DEVICE_NEEDS_RESET at the resume when the rings are not as they were left', async () => {
    const rig = await startBlockRig();
    await rig.driver.write(0, pattern(512));
    await rig.driver.suspend();
    const saved = json(rig.device.save());
    const { deviceArea } = rig.device.queues[0]!;
    const region = rig.memory.find(deviceArea, 4)!;
    region.view.setUint16(deviceArea - region.address + 2, 77, true);
    const next = newDevice(rig);
    const failures: string[] = [];
    next.observer = { failed: (error) => failures.push(`0x${next.status.toString(16)} ${error.message}`) };
    next.restore(saved);
    rig.replace(next);
    await expect(rig.driver.resume()).rejects.toThrow(/needs a reset/);
    expect(failures).toEqual([expect.stringMatching(/^0x5b .*used index is 77/)]);
  });
});
