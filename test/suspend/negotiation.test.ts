import { describe, expect, it } from 'vitest';
import { Feature, hasFeature } from '../../src/spec/features.ts';
import { PciCommon } from '../../src/spec/pci.ts';
import { REQUESTS } from '../support/controlled-type.ts';
import { SuspendRig, settings } from '../support/suspend-rig.ts';

describe.each(settings)('before a suspend, over %s:', (_, setting) => {
  it('VIRTIO_F_SUSPEND is offered as bit 43, and bit 42 is not', async () => {
    const rig = await SuspendRig.make(setting);
    const offered = await rig.transport.readFeatures();
    expect(hasFeature(offered, 43)).toBe(true);
    expect(hasFeature(offered, 42)).toBe(false);
    await rig.initialize();
    expect(rig.device.accepted).toBe(rig.features);
  });

  it('without the feature a written SUSPEND has no effect, and traffic goes on', async () => {
    const rig = await SuspendRig.start(setting, { decline: [Feature.SUSPEND] });
    rig.write(0x1f);
    rig.write(0x1b);
    rig.write(0x10);
    expect(rig.status).toBe(0x0f);
    rig.send(REQUESTS, 1);
    expect(rig.events).toEqual(['used', 'collect 0:1']);
  });

  it('a device that does not offer the feature does not suspend', async () => {
    const rig = await SuspendRig.make(setting, { withhold: [Feature.SUSPEND], decline: [Feature.SUSPEND] });
    expect(hasFeature(await rig.transport.readFeatures(), Feature.SUSPEND)).toBe(false);
    await rig.initialize();
    rig.write(0x1f);
    expect(rig.status).toBe(0x0f);
  });

  it('SUSPEND written before DRIVER_OK never reads back, and initialisation works as ever', async () => {
    const rig = await SuspendRig.make(setting);
    for (const [written, shown] of [
      [0x10, 0x00],
      [0x11, 0x01],
      [0x13, 0x03],
    ] as const) {
      rig.write(written);
      expect(rig.status).toBe(shown);
    }
    await rig.initialize(0x0b);
    rig.write(0x1b);
    expect(rig.status).toBe(0x0b);
    rig.write(0x0f);
    expect(rig.status).toBe(0x0f);
    rig.send(REQUESTS, 1);
    expect(rig.events.slice(-2)).toEqual(['used', 'collect 0:1']);
  });

  it('SUSPEND and DRIVER_OK in one write start the device and do not suspend it', async () => {
    const rig = await SuspendRig.make(setting);
    await rig.initialize(0x1f);
    expect(rig.status).toBe(0x0f);
    rig.send(REQUESTS, 1);
    expect(rig.events.slice(-2)).toEqual(['used', 'collect 0:1']);
  });

  it('when FEATURES_OK is refused, neither DRIVER_OK nor SUSPEND is taken with it', async () => {
    const rig = await SuspendRig.make(setting);
    rig.write(0x03);
    await rig.transport.writeFeatures(rig.features | (1n << 42n));
    for (const written of [0x1b, 0x1f, 0x0f, 0x10]) {
      rig.write(written);
      expect(rig.status).toBe(0x03);
    }
  });

  it('a device with no queue enabled suspends within the write', async () => {
    const rig = await SuspendRig.start(setting, { leaveOut: [0, 1, 2] });
    rig.suspend();
    expect(rig.status).toBe(0x1b);
    rig.resume();
    expect(rig.status).toBe(0x0f);
  });

  it('a device with idle queues suspends within the write', async () => {
    const rig = await SuspendRig.start(setting);
    rig.suspend();
    expect(rig.status).toBe(0x1b);
  });

  it('after a reset and a negotiation without the feature SUSPEND has no effect', async () => {
    const rig = await SuspendRig.start(setting);
    rig.suspend();
    rig.write(0);
    rig.write(0x03);
    await rig.transport.writeFeatures(rig.features & ~(1n << 43n));
    rig.write(0x0f);
    rig.write(0x1f);
    expect(rig.status).toBe(0x0f);
  });
});

describe.each(settings.filter(([, { way }]) => way.startsWith('pci')))('over %s:', (_, setting) => {
  it('VIRTIO_F_SUSPEND is bit 11 of feature word 1, and reads back from driver_feature', async () => {
    const rig = await SuspendRig.start(setting);
    const pci = rig.pci!;
    const { bar, offset } = setting.way === 'pci io' ? { bar: 0, offset: 0 } : { bar: 4, offset: 0 };
    pci.writeBar(bar, offset + PciCommon.DEVICE_FEATURE_SELECT, 4, 1);
    expect((pci.readBar(bar, offset + PciCommon.DEVICE_FEATURE, 4) >>> 11) & 1).toBe(1);
    pci.writeBar(bar, offset + PciCommon.DRIVER_FEATURE_SELECT, 4, 1);
    expect((pci.readBar(bar, offset + PciCommon.DRIVER_FEATURE, 4) >>> 11) & 1).toBe(1);
    pci.writeBar(bar, offset + PciCommon.DRIVER_FEATURE, 4, 0);
    expect((pci.readBar(bar, offset + PciCommon.DRIVER_FEATURE, 4) >>> 11) & 1, 'settled by FEATURES_OK').toBe(1);
  });
});
