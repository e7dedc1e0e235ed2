import { Feature } from '../../spec/features.ts';
import { expect } from './case-failed.ts';
import { type DeviceCase, hold, works } from './device-case.ts';
import type { HandDriver } from './hand-driver.ts';

/** So many requests are always room for: each has a header, data and a status. */
const AT_ONCE = 5;
const ROUNDS = 20;
/** More than there is of any device. */
const NO_QUEUE = 2000;

function sectors(round: number, count = AT_ONCE): readonly number[] {
  return Array.from({ length: count }, (_, n) => (AT_ONCE * round + n) % 64);
}

/** A driver that looks only when it is interrupted. */
async function wakes(driver: HandDriver): Promise<void> {
  for (let round = 0; round < ROUNDS; round++) {
    driver.queue.sendIfAsked(...sectors(round, 1 + (round % AT_ONCE)));
    await driver.finishByInterrupts();
  }
}

/** What a device does for a driver that never suspends it. */
export const serving: readonly DeviceCase[] = [
  {
    name: 'requests at each position of the ring, in rounds of either wrap counter, are done once each',
    requirements: ['split.device.used.id', 'packed.device.used.id', 'packed.device.order.1'],
    run: async (driver) => {
      await driver.start();
      for (let sector = 0; sector < 40; sector++) {
        driver.send(sector);
        await driver.finish();
      }
      expect(driver.completed.length === 40, `${driver.completed.length} of 40 requests were done`);
    },
  },
  {
    name: 'one to five requests at once are done, each with the bytes of its sector',
    requirements: ['split.device.used.2', 'packed.device.used.length', 'packed.device.used.write'],
    run: async (driver) => {
      await driver.start();
      for (let round = 0; round < ROUNDS; round++) {
        driver.send(...sectors(round, 1 + (round % AT_ONCE)));
        await driver.finish();
      }
    },
  },
  {
    name: 'a driver that sleeps until it is interrupted is woken up for each request',
    requirements: ['split.device.usednotif.3', 'split.device.availnotif.1'],
    run: async (driver) => {
      await driver.start();
      await wakes(driver);
    },
  },
  {
    name: 'with the event index, a driver that sleeps and kicks as it is asked to is woken up for each request',
    requirements: ['split.device.usednotif.5', 'split.device.usednotif.6', 'split.device.availnotif.3'],
    features: [Feature.EVENT_IDX],
    run: async (driver) => {
      await driver.start({ accept: [Feature.EVENT_IDX] });
      await wakes(driver);
    },
  },
  {
    name: 'kicks for nothing do no harm',
    requirements: ['split.device.availnotif.5'],
    run: async (driver) => {
      await driver.start();
      for (let n = 0; n < 3; n++) {
        driver.queue.kick();
        await driver.expectStatus(0x0f);
        await works(driver);
      }
    },
  },
  {
    name: 'a reset with requests out is a reset, and nothing comes of them after it',
    requirements: ['reset.device.1', 'reset.device.2', 'mmio.device.regs.5', 'mmio.device.regs.7'],
    run: async (driver) => {
      for (let round = 0; round < ROUNDS; round++) {
        await driver.start();
        driver.send(...sectors(round));
        await driver.reset();
        const interrupts = driver.usedInterrupts;
        await driver.stays(0);
        expect(driver.usedInterrupts === interrupts, 'requests of before the reset are notified');
      }
      await driver.start();
      await works(driver);
    },
  },
  {
    name: 'a queue that is reset and enabled again begins anew',
    requirements: ['reset.device.queue.1', 'reset.device.queue.2', 'pci.device.common.13', 'mmio.device.regs.12'],
    features: [Feature.RING_RESET],
    run: async (driver) => {
      await driver.start();
      await works(driver);
      for (let round = 0; round < ROUNDS; round++) {
        await driver.renewQueue();
        await works(driver);
      }
    },
  },
  {
    name: 'a queue that is reset with requests in processing begins anew: nothing comes of them after it',
    requirements: ['reset.device.queue.1', 'reset.device.queue.2'],
    features: [Feature.RING_RESET],
    needs: ['held requests'],
    run: async (driver, bench) => {
      await driver.start();
      for (let round = 0; round < ROUNDS; round++) {
        hold(driver, bench, ...sectors(round, 3));
        const renewed = driver.renewQueue();
        await driver.stays(0x0f);
        bench.disk.release();
        await renewed;
        const interrupts = driver.usedInterrupts;
        await driver.stays(0x0f);
        expect(driver.usedInterrupts === interrupts, 'requests of before the reset are notified');
        await works(driver);
      }
    },
  },
  {
    name: 'a queue that there is not has no size',
    requirements: ['pci.device.common.14'],
    run: async (driver) => {
      await driver.negotiate();
      const size = await driver.transport.readQueueSize(NO_QUEUE);
      expect(size === 0, `queue ${NO_QUEUE} has a size of ${size}`);
      await driver.start();
      await works(driver);
    },
  },
];
