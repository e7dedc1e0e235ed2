import { Feature, hasFeature } from '../../spec/features.ts';
import { Status } from '../../spec/status.ts';
import { type Bench, byteOf } from './bench.ts';
import { CaseFailed, HandDriver } from './hand-driver.ts';

const { DRIVER_OK, SUSPEND, DEVICE_NEEDS_RESET } = Status;

/** Something that a device is put through. What it breaks on the way the judge says; a case says what did not come about. */
export interface DeviceCase {
  readonly name: string;
  run(driver: HandDriver, bench: Bench): Promise<void>;
}

export function runDeviceCase({ run }: DeviceCase, bench: Bench): Promise<void> {
  return run(new HandDriver(bench.transport, bench.allocator, byteOf), bench);
}

function expect(holds: unknown, otherwise: string): void {
  if (!holds) throw new CaseFailed(otherwise);
}

/** Requests go through, as at any time. */
async function works(driver: HandDriver): Promise<void> {
  driver.send(1, 2);
  await driver.finish();
}

/** Requests that stay in processing until the disk is released. */
function hold(driver: HandDriver, { disk }: Bench, ...sectors: readonly number[]): void {
  disk.hold();
  driver.send(...sectors);
}

async function readCapacity(driver: HandDriver): Promise<number> {
  return driver.transport.readConfig(0, 4);
}

const negotiation: readonly DeviceCase[] = [
  {
    name: 'VIRTIO_F_SUSPEND is offered as bit 43, and reads back',
    run: async (driver) => {
      await driver.start();
      expect(hasFeature(driver.offered, Feature.SUSPEND), 'VIRTIO_F_SUSPEND is not offered');
    },
  },
  {
    name: 'SUSPEND means nothing when it was not negotiated',
    run: async (driver) => {
      await driver.start({ decline: [Feature.SUSPEND] });
      await driver.write(0x1f);
      await driver.expectStatus(0x0f);
      await works(driver);
    },
  },
  {
    name: 'SUSPEND means nothing in each step of the initialisation',
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
    run: async (driver) => {
      await driver.negotiate();
      await driver.enableQueue();
      await driver.write(0x1f);
      await driver.expectStatus(0x0f);
      await works(driver);
    },
  },
  {
    name: 'a choice of features that is refused does not start the device',
    run: async (driver) => {
      await driver.reset();
      await driver.write(0x01);
      await driver.write(0x03);
      await driver.transport.readFeatures();
      await driver.transport.writeFeatures((1n << 32n) | (1n << 63n));
      await driver.write(0x0b);
      await driver.expectStatus(0x03);
      await driver.write(0x1f);
      const status = await driver.status();
      expect((status & (DRIVER_OK | SUSPEND)) === 0, 'the device starts without its features');
    },
  },
];

const entering: readonly DeviceCase[] = [
  {
    name: 'a device without a queue is suspended',
    run: async (driver) => {
      await driver.start({ withoutQueue: 'without a queue' });
      await driver.suspend();
      await driver.resume();
    },
  },
  {
    name: 'an idle device is suspended, and keeps its other bits',
    run: async (driver) => {
      await driver.start();
      await works(driver);
      await driver.suspend();
      await driver.expectStatus(0x1b);
      await driver.resume();
      await driver.expectStatus(0x0f);
      await works(driver);
    },
  },
  {
    name: 'a request without DRIVER_OK suspends, too; one without SUSPEND resumes',
    run: async (driver) => {
      await driver.start();
      await driver.suspend(0x1b);
      await driver.resume(0x0f);
      await works(driver);
    },
  },
  {
    name: 'what is in processing is used and notified before the device rests',
    run: async (driver, bench) => {
      await driver.start();
      hold(driver, bench, 3, 4, 5);
      await driver.write(0x1f);
      for (let n = 0; n < 20; n++) {
        const status = await driver.status();
        expect((status & (SUSPEND | DRIVER_OK)) !== SUSPEND, 'the device rests with requests in processing');
        await new Promise((resolve) => setTimeout(resolve, 1));
      }
      const before = driver.usedInterrupts;
      bench.disk.finish([2, 0]);
      bench.disk.release();
      await driver.untilPair('the suspend', SUSPEND);
      expect(driver.usedInterrupts > before, 'the requests are not notified');
      driver.collect();
      expect(driver.outstanding === 0, `${driver.outstanding} requests were not used`);
      await driver.resume();
      await works(driver);
    },
  },
  {
    name: 'requests that wait in the ring are done after the resume, without another kick',
    run: async (driver, bench) => {
      await driver.start();
      hold(driver, bench, 6);
      await driver.write(0x1f);
      driver.offer(7, 8);
      bench.disk.release();
      await driver.untilPair('the suspend', SUSPEND);
      await driver.resume();
      await driver.finish();
      expect(driver.completed.length === 3, `${driver.completed.length} of 3 requests were done`);
    },
  },
  ...[0x1f, 0x0f, 0x0b, 0x03].map(
    (value): DeviceCase => ({
      name: `a write of 0x${value.toString(16).padStart(2, '0')} while suspending changes nothing`,
      run: async (driver, bench) => {
        await driver.start();
        hold(driver, bench, 9);
        await driver.write(0x1f);
        await driver.write(value);
        bench.disk.release();
        await driver.untilPair('the suspend', SUSPEND);
        await new Promise((resolve) => setTimeout(resolve, 5));
        await driver.expectStatus(0x1b);
        await driver.resume();
        await works(driver);
      },
    }),
  ),
  {
    name: 'FAILED while suspending: a reset recovers',
    run: async (driver, bench) => {
      await driver.start();
      hold(driver, bench, 10);
      await driver.write(0x1f);
      await driver.write(0x9f);
      bench.disk.release();
      await driver.start();
      await works(driver);
    },
  },
];

const atRest: readonly DeviceCase[] = [
  {
    name: 'kicks and new buffers at rest are left alone until the resume',
    run: async (driver) => {
      await driver.start();
      await driver.suspend();
      driver.send(11, 12);
      await new Promise((resolve) => setTimeout(resolve, 5));
      driver.collect();
      expect(driver.outstanding === 2, 'requests are done at rest');
      await driver.resume();
      await driver.finish();
    },
  },
  {
    name: 'a resize at rest is neither shown nor told before the resume, and told once then',
    run: async (driver, bench) => {
      await driver.start();
      const before = await readCapacity(driver);
      await driver.suspend();
      const generation = await driver.transport.readConfigGeneration();
      const interrupts = driver.configInterrupts;
      bench.resize(before + 8);
      bench.resize(before + 16);
      expect((await readCapacity(driver)) === before, 'the new size shows at rest');
      expect((await driver.transport.readConfigGeneration()) === generation, 'the generation changes at rest');
      expect(driver.configInterrupts === interrupts, 'the change is told at rest');
      await driver.resume();
      await driver.until('the notification of the change', () => driver.configInterrupts > interrupts);
      expect((await readCapacity(driver)) === before + 16, 'the new size does not show');
      expect((await driver.transport.readConfigGeneration()) !== generation, 'the generation is that of before');
    },
  },
  {
    name: 'a change is not forgotten when the device is suspended again at once',
    run: async (driver, bench) => {
      await driver.start();
      await driver.suspend();
      const interrupts = driver.configInterrupts;
      bench.resize(32);
      await driver.resume();
      await driver.suspend();
      await driver.resume();
      await driver.until('the notification of the change', () => driver.configInterrupts > interrupts);
    },
  },
  {
    name: 'configuration writes at rest have no effect',
    run: async (driver) => {
      await driver.start();
      await driver.transport.readConfig(32, 1);
      await driver.suspend();
      const before = await driver.transport.readConfig(32, 1);
      await driver.transport.writeConfig(32, 1, before ^ 1);
      expect((await driver.transport.readConfig(32, 1)) === before, 'the field has changed');
      await driver.resume();
      expect((await driver.transport.readConfig(32, 1)) === before, 'the field has changed after the resume');
    },
  },
  ...[0x1b, 0x0b, 0x03].map(
    (value): DeviceCase => ({
      name: `a write of 0x${value.toString(16).padStart(2, '0')} at rest changes nothing`,
      run: async (driver) => {
        await driver.start();
        await driver.suspend();
        await driver.write(value);
        for (let n = 0; n < 5; n++) await driver.expectStatus(0x1b);
        await driver.resume();
        await works(driver);
      },
    }),
  ),
  {
    name: 'FAILED at rest does not resume',
    run: async (driver) => {
      await driver.start();
      await driver.suspend();
      await driver.write(0x9f);
      expect(((await driver.status()) & DRIVER_OK) === 0, 'the device runs');
      await driver.start();
      await works(driver);
    },
  },
];

const leaving: readonly DeviceCase[] = [
  {
    name: 'positions go on over a hundred suspends under load, each request done once',
    run: async (driver) => {
      await driver.start();
      for (let cycle = 0; cycle < 100; cycle++) {
        driver.send(cycle % 64, (cycle + 1) % 64);
        if (cycle % 3 !== 0) await driver.finish();
        await driver.suspend();
        await driver.resume();
        await driver.finish();
      }
      expect(driver.completed.length === 200, `${driver.completed.length} of 200 requests were done`);
    },
  },
  {
    name: 'a reset at rest forgets everything',
    run: async (driver, bench) => {
      await driver.start();
      await driver.suspend();
      const interrupts = driver.configInterrupts;
      bench.resize(40);
      await driver.start({ decline: [Feature.SUSPEND] });
      await driver.write(0x1f);
      await driver.expectStatus(0x0f);
      expect(driver.configInterrupts === interrupts, 'a change of a former life is told');
      await works(driver);
    },
  },
  {
    name: 'a reset while suspending with a stuck disk ends',
    run: async (driver, bench) => {
      await driver.start();
      hold(driver, bench, 13);
      await driver.write(0x1f);
      await driver.reset();
      bench.disk.release();
      await driver.expectStatus(0);
      await driver.start();
      await works(driver);
    },
  },
  {
    name: 'a suspend that cannot end shows DEVICE_NEEDS_RESET, and never rest',
    run: async (driver, bench) => {
      await driver.start();
      hold(driver, bench, 14);
      const interrupts = driver.configInterrupts;
      await driver.write(0x1f);
      const status = await driver.until('the failure', (s) => (s & DEVICE_NEEDS_RESET) !== 0);
      expect((status & (SUSPEND | DRIVER_OK)) !== SUSPEND, 'a failed suspend looks like a suspend');
      expect(driver.configInterrupts > interrupts, 'the failure is not told');
      await driver.write(0x5f);
      expect(((await driver.status()) & DEVICE_NEEDS_RESET) !== 0, 'DEVICE_NEEDS_RESET is gone without a reset');
      await driver.reset();
      bench.disk.release();
      await driver.start();
      await works(driver);
    },
  },
];

/** What a device is put through, in order. */
export const deviceCases: readonly DeviceCase[] = [...negotiation, ...entering, ...atRest, ...leaving];
