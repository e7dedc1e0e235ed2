import { DeviceId } from '../../spec/device-ids.ts';
import { TransportError } from '../../spec/fault.ts';
import { Feature, type FeatureSet, hasFeature } from '../../spec/features.ts';
import { Status } from '../../spec/status.ts';
import { expect } from './case-failed.ts';
import { type DeviceCase, works } from './device-case.ts';
import type { HandDriver } from './hand-driver.ts';

const { DRIVER_OK, SUSPEND } = Status;

/** Over vhost-user a choice can be refused when it is told. */
async function takesFeatures({ transport }: HandDriver, features: FeatureSet): Promise<boolean> {
  try {
    await transport.writeFeatures(features);
    return true;
  } catch (error) {
    if (error instanceof TransportError) return false;
    throw error;
  }
}

/** Before the device runs. */
export const negotiation: readonly DeviceCase[] = [
  {
    name: 'VIRTIO_F_SUSPEND is offered as bit 43 and can be had; bit 42 is left to network devices',
    requirements: ['features.device.defined', 'features.device.3'],
    features: [Feature.SUSPEND],
    run: async (driver) => {
      await driver.start();
      expect(hasFeature(driver.offered, Feature.SUSPEND), 'VIRTIO_F_SUSPEND is not offered');
      const isNet = driver.transport.deviceId === DeviceId.NET;
      expect(isNet || !hasFeature(driver.offered, 42), 'bit 42 is offered, which is none of this type of device');
      await driver.suspend();
      await driver.resume();
    },
  },
  {
    name: 'SUSPEND means nothing when it was not negotiated',
    requirements: ['suspend.device.negotiated'],
    run: async (driver) => {
      await driver.start({ decline: [Feature.SUSPEND] });
      await driver.write(0x1f);
      await driver.expectStatus(0x0f);
      await works(driver);
    },
  },
  {
    name: 'SUSPEND means nothing after a reset and a choice of features without it',
    requirements: ['suspend.device.negotiated', 'reset.device.1'],
    features: [Feature.SUSPEND],
    run: async (driver) => {
      await driver.start();
      await driver.suspend();
      await driver.start({ decline: [Feature.SUSPEND] });
      await driver.write(0x1f);
      await driver.stays(0x0f);
      await works(driver);
    },
  },
  {
    name: 'SUSPEND means nothing in each step of the initialisation',
    requirements: ['suspend.device.1'],
    run: async (driver) => {
      await driver.reset();
      for (const status of [0x10, 0x11, 0x13]) {
        await driver.write(status);
        await driver.expectStatus(status & ~SUSPEND);
      }
      await driver.negotiate();
      await driver.write(0x1b);
      await driver.expectStatus(0x0b);
      await driver.start();
      await works(driver);
    },
  },
  {
    name: 'SUSPEND together with the first DRIVER_OK starts the device',
    requirements: ['suspend.device.1'],
    run: async (driver) => {
      await driver.negotiate();
      await driver.enable(driver.queue);
      await driver.write(0x1f);
      await driver.expectStatus(0x0f);
      await works(driver);
    },
  },
  {
    name: 'a choice of features that is refused does not start the device',
    requirements: ['features.device.3', 'suspend.device.1'],
    run: async (driver) => {
      await driver.reset();
      await driver.write(0x01);
      await driver.write(0x03);
      await driver.transport.readFeatures();
      if (await takesFeatures(driver, (1n << 32n) | (1n << 63n))) {
        await driver.write(0x0b);
        await driver.expectStatus(0x03);
        await driver.write(0x1f);
        const status = await driver.status();
        expect((status & (DRIVER_OK | SUSPEND)) === 0, 'the device starts without its features');
      }
      await driver.start();
      await works(driver);
    },
  },
];
