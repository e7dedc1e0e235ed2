/** What a transport writes to a device, at the wrong time and beyond the ends too. */
import { describe, expect, it } from 'vitest';
import { Device } from '../../../src/device/device.ts';
import type { DeviceOptions } from '../../../src/device/device-options.ts';
import { GuestMemory } from '../../../src/memory/guest-memory.ts';
import { StateError } from '../../../src/spec/fault.ts';
import { ControlledConfig, ControlledType, REQUESTS } from '../../support/controlled-type.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { FillingType } from '../../support/filling-type.ts';

const VERSION_1 = 1;
const SUSPEND = 1 << 11;

interface Rig {
  readonly type: ControlledType;
  readonly device: Device;
  readonly clock: FakeClock;
  /** The status that the device shows, and why it failed. */
  readonly events: string[];
}

function makeRig(options: DeviceOptions = {}): Rig {
  const type = new ControlledType(8);
  const clock = new FakeClock();
  const device = new Device(type, GuestMemory.over(new Uint8Array(0x4000)), { clock, ...options });
  const events: string[] = [];
  device.observer = {
    statusShown: (status) => events.push(status.toString(16)),
    failed: ({ message }) => events.push(message),
  };
  return { type, device, clock, events };
}

/** Past FEATURES_OK, or past DRIVER_OK, with one queue. */
function start(last: 0x0b | 0x0f, options?: DeviceOptions): Rig {
  const rig = makeRig(options);
  rig.device.writeFeatures(1, VERSION_1 | SUSPEND);
  rig.device.writeStatus(0x0b);
  place(rig.device);
  rig.device.enableQueue(REQUESTS);
  if (last === 0x0f) rig.device.writeStatus(0x0f);
  return rig;
}

function place(device: Device): void {
  device.configureQueue(REQUESTS, (slot) => {
    Object.assign(slot, { descriptorArea: 0x1000, driverArea: 0x1100, deviceArea: 0x1200 });
  });
}

describe('the features that a driver writes (§2.2)', () => {
  it('are 128 bits in words of 32, each written as a whole', () => {
    const { device } = makeRig();
    for (const word of [0, 1, 2, 3]) device.writeFeatures(word, 0xffff_fff0 | 0);
    expect(device.accepted).toBe(0xfffffff0_fffffff0_fffffff0_fffffff0n);
    device.writeFeatures(1, 5);
    device.writeFeatures(4, 5);
    expect(device.accepted).toBe(0xfffffff0_fffffff0_00000005_fffffff0n);
  });

  it('are settled by FEATURES_OK', () => {
    const { device } = start(0x0b);
    const { accepted } = device;
    device.writeFeatures(0, 0xffff_ffff);
    expect(device.accepted).toBe(accepted);
  });
});

describe('the registers of a queue', () => {
  it('are not in use before FEATURES_OK (§3.1.1), and a queue that does not exist is nobody’s', () => {
    const { device } = makeRig();
    device.writeStatus(0x03);
    device.enableQueue(REQUESTS);
    device.enableQueue(99);
    device.configureQueue(99, () => expect.unreachable());
    device.disableQueue(99);
    device.resetQueue(99);
    device.kick(99);
    expect(device.queues[REQUESTS]!.enabled).toBe(false);
    expect(device.status).toBe(0x03);
  });

  it('do not change while it is enabled, and keep their values when it is disabled', () => {
    const { device } = start(0x0f);
    device.configureQueue(REQUESTS, () => expect.unreachable());
    device.disableQueue(REQUESTS);
    expect(device.queues[REQUESTS]).toMatchObject({ enabled: false, descriptorArea: 0x1000, queue: undefined });
    device.configureQueue(REQUESTS, (slot) => {
      slot.size = 4;
    });
    expect(device.queues[REQUESTS]!.size).toBe(4);
  });

  it('stay as they are while suspended: nothing is configured, enabled or disabled', () => {
    const { device } = start(0x0f);
    device.writeStatus(0x1f);
    device.disableQueue(REQUESTS);
    expect(device.queues[REQUESTS]!.enabled).toBe(true);
    device.resetQueue(REQUESTS);
    expect(device.queues[REQUESTS]).toMatchObject({ enabled: false, descriptorArea: 0 });
    device.configureQueue(REQUESTS, () => expect.unreachable());
    device.enableQueue(REQUESTS);
    expect(device.queues[REQUESTS]!.enabled).toBe(false);
  });

  it('that make no sense are the device’s failure when it is enabled after DRIVER_OK, or else at DRIVER_OK, once', () => {
    for (const when of ['before', 'after'] as const) {
      const rig = makeRig();
      const { device, events } = rig;
      device.writeFeatures(1, VERSION_1);
      device.writeStatus(when === 'before' ? 0x0b : 0x0f);
      for (const slot of device.queues) {
        device.configureQueue(slot.index, () => {
          slot.descriptorArea = 8;
        });
        device.enableQueue(slot.index);
      }
      expect(device.status).toBe(when === 'before' ? 0x0b : 0x4f);
      device.writeStatus(0x0f);
      expect(device.status).toBe(0x4f);
      expect(events.filter((event) => event.includes('aligned'))).toHaveLength(1);
      expect(device.failure?.message).toMatch(/queue_desc|descriptor|aligned/);
    }
  });
});

describe('a write to the configuration space (§2.5)', () => {
  it('reaches the device type with its bytes, least significant first, within the space alone', () => {
    const { type, device } = start(0x0f);
    const writes: [number, number[]][] = [];
    type.writeConfig = (offset, bytes) => writes.push([offset, [...bytes]]);
    device.writeConfig(ControlledConfig.VALUE, 4, 0xf4f3_f2f1);
    device.writeConfig(ControlledConfig.BYTES - 2, 2, 0x0201);
    device.writeConfig(ControlledConfig.BYTES - 1, 2, 0x0201);
    device.writeConfig(ControlledConfig.BYTES, 1, 1);
    expect(writes).toEqual([
      [0, [0xf1, 0xf2, 0xf3, 0xf4]],
      [ControlledConfig.BYTES - 2, [1, 2]],
    ]);
  });

  it('that the device type cannot take puts the device into DEVICE_NEEDS_RESET, whatever it throws', () => {
    const { type, device, events } = start(0x0f);
    type.writeConfig = () => {
      throw 'no such mode';
    };
    device.writeConfig(0, 1, 1);
    expect(device.status).toBe(0x4f);
    expect(events.slice(-2)).toEqual(['4f', 'no such mode']);
    expect(device.failure).toEqual(new Error('no such mode'));
  });
});

describe('a saved state', () => {
  it('goes into a device that was just made or reset, not into one that is used, at work or paused', async () => {
    const saver = start(0x0f);
    saver.device.writeStatus(0x1f);
    const saved = saver.device.save();
    const acknowledged = makeRig();
    acknowledged.device.writeStatus(0x01);
    const paused = makeRig();
    await paused.device.pause();
    for (const { device } of [acknowledged, paused]) {
      expect(() => device.restore(saved)).toThrow(StateError);
      expect(() => device.restore(saved)).toThrow(/just made or reset/);
    }
    paused.device.continue();
    acknowledged.device.writeStatus(0);
    for (const { device, events } of [acknowledged, paused]) {
      device.restore(saved);
      expect([device.status, device.isQuiet, events.at(-1)]).toEqual([0x1b, true, '1b']);
    }
  });
});

it('a device type without a state of its own is saved and restored all the same', async () => {
  const memory = GuestMemory.over(new Uint8Array(0x4000));
  const device = new Device(new FillingType(8), memory);
  await device.pause();
  const next = new Device(new FillingType(8), memory);
  expect(device.save().body.type).toBeNull();
  next.restore(device.save());
  expect([next.paused, next.isQuiet]).toEqual([true, true]);
});

describe('the time that a device has to come to rest', () => {
  it.each([
    [{}, 5000],
    [{ suspendLimitMs: 70 }, 70],
  ])('with the options %o is %i ms, for its driver and for its host', async (options, limitMs) => {
    const { type, device, clock } = start(0x0f, options);
    type.stopping = 'when told';
    const paused = device.pause().catch((error: Error) => error.message);
    device.writeStatus(0x1f);
    await clock.advance(limitMs - 1);
    expect(device.status).toBe(0x1f);
    await clock.advance(1);
    expect(device.status).toBe(0x4f);
    expect(await paused).toBe(`pause: what is being processed did not end within ${limitMs} ms`);
  });
});
