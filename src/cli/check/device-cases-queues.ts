import { ProtocolError } from '../../spec/fault.ts';
import { Feature, hasFeature } from '../../spec/features.ts';
import { expect } from './case-failed.ts';
import { type DeviceCase, works } from './device-case.ts';
import type { HandDriver } from './hand-driver.ts';

/** A seeded linear congruential sequence of numbers below `bound`. */
function numbers(seed: number): (bound: number) => number {
  let state = seed;
  return (bound) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * bound);
  };
}

/** Requests, suspends and resumes in a random order; a driver that sleeps until it is interrupted is never left sleeping. */
async function sleepAndSuspend(driver: HandDriver, cycles: number): Promise<void> {
  const below = numbers(45);
  for (let cycle = 0; cycle < cycles; cycle++) {
    driver.queue.sendIfAsked(...Array.from({ length: 1 + below(4) }, () => below(64)));
    if (below(2) === 0) await driver.finishByInterrupts();
    await driver.suspend();
    if (below(2) === 0 && driver.outstanding < 4) driver.offer(below(64));
    await driver.resume();
    await driver.finishByInterrupts();
  }
}

/** A device at rest may leave the registers of a queue as they are, which a transport finds out that reads the size back. */
function leftAsItWas(error: unknown): void {
  if (!(error instanceof ProtocolError && error.rule === 'pci.device.common.queue_size')) throw error;
}

/** What the registers of the device show of all its queues, and of one that there is not. */
async function shownOf({ registers, queues }: HandDriver): Promise<string> {
  const shown: unknown[] = [];
  for (let index = 0; index <= queues.length; index++) shown.push(await registers!.queue(index));
  return JSON.stringify(shown);
}

/** Queues over a suspend: their memory, their registers, their positions, and what kicks say of them. */
export const queues: readonly DeviceCase[] = [
  {
    name: 'the memory of a queue may be anything while the device rests, and is as before at the resume',
    requirements: ['suspend.device.4'],
    run: async (driver) => {
      await driver.start();
      await works(driver);
      await driver.suspend();
      driver.offer(18, 19);
      await driver.poisoned(() => driver.stays(0x1b));
      await driver.resume();
      await driver.finish();
    },
  },
  {
    name: 'all that can be read of the registers of each queue is the same before, during and after the rest',
    requirements: ['suspend.device.5'],
    reads: 'registers',
    run: async (driver) => {
      await driver.start({ queues: 4 });
      const before = await shownOf(driver);
      await driver.suspend();
      expect((await shownOf(driver)) === before, `at rest the registers show ${await shownOf(driver)}, not ${before}`);
      await driver.expectStatus(0x1b);
      await driver.resume();
      expect((await shownOf(driver)) === before, `after it the registers show ${await shownOf(driver)}, not ${before}`);
      await works(driver);
    },
  },
  {
    name: 'a queue that is enabled at rest is left alone until the resume',
    requirements: ['suspend.device.4'],
    run: async (driver) => {
      await driver.negotiate();
      await driver.write(0x0f);
      await driver.suspend();
      await driver.enable(driver.queue).catch(leftAsItWas);
      driver.send(20);
      const before = driver.queueBytes();
      await driver.stays(0x1b);
      expect(before.equals(driver.queueBytes()), 'something is written to the queue or its buffers at rest');
      await driver.resume();
      await driver.start();
      await works(driver);
    },
  },
  {
    name: 'a queue whose reset was said to be done at rest is not used after the resume',
    requirements: ['reset.device.queue.1', 'suspend.device.4'],
    features: [Feature.RING_RESET],
    run: async (driver) => {
      await driver.start();
      await driver.suspend();
      await driver.transport.resetQueue(0);
      await driver.stays(0x1b);
      const isReset = await driver.transport.queueIsReset(0);
      driver.offer(21);
      await driver.resume();
      driver.queue.kick();
      await driver.stays(0x0f);
      driver.collect();
      expect(!isReset || driver.outstanding === 1, 'a queue is used that was reset');
      await driver.start();
      await works(driver);
    },
  },
  {
    name: 'a suspend at each position of the ring, in rounds of either wrap counter, loses and repeats nothing',
    requirements: ['split.device.used.id', 'packed.device.used.id', 'packed.device.order.1'],
    run: async (driver) => {
      await driver.start();
      for (let sector = 0; sector < 32; sector++) {
        driver.send(sector);
        await driver.finish();
        await driver.suspend();
        await driver.resume();
      }
      expect(driver.completed.length === 32, `${driver.completed.length} of 32 requests were done`);
    },
  },
  {
    name: 'with the event index no interrupt and no kick is lost over random suspends',
    requirements: ['split.device.usednotif.3', 'suspend.device.12'],
    run: async (driver) => {
      await driver.start({ accept: [Feature.EVENT_IDX] });
      await sleepAndSuspend(driver, 40);
    },
  },
  {
    name: 'a kick for nothing does no harm, before, during and after the rest',
    requirements: ['split.device.availnotif.5', 'suspend.device.4'],
    run: async (driver) => {
      await driver.start();
      await works(driver);
      driver.queue.kick();
      await driver.expectStatus(0x0f);
      await driver.suspend();
      driver.queue.kick();
      await driver.stays(0x1b);
      await driver.resume();
      driver.queue.kick();
      await driver.stays(0x0f);
      await works(driver);
    },
  },
  {
    name: 'a kick that says another position than the ring does no harm right after the resume',
    requirements: ['suspend.device.9'],
    features: [Feature.NOTIFICATION_DATA],
    run: async (driver) => {
      await driver.start({ accept: [Feature.NOTIFICATION_DATA] });
      expect(hasFeature(driver.offered, Feature.NOTIFICATION_DATA), 'VIRTIO_F_NOTIFICATION_DATA is not offered');
      const stale = driver.queue.ring.nextAvailable;
      await works(driver);
      await driver.suspend();
      driver.offer(22, 23);
      await driver.resume();
      driver.transport.kick(0, stale);
      await driver.finish();
      await works(driver);
    },
  },
];
