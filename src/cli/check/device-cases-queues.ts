import { ProtocolError } from '../../spec/fault.ts';
import { Feature, hasFeature } from '../../spec/features.ts';
import { awhile, type DeviceCase, expect, works } from './device-case.ts';
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
    driver.sendIfAsked(...Array.from({ length: 1 + below(4) }, () => below(64)));
    if (below(2) === 0) await driver.finishByInterrupts();
    await driver.suspend();
    if (below(2) === 0 && driver.outstanding < 4) driver.offer(below(64));
    await driver.resume();
    await driver.finishByInterrupts();
  }
}

/** A device at rest may leave registers of queues as they are, which its transport finds out. */
function refusal(error: unknown): void {
  if (!(error instanceof ProtocolError)) throw error;
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
      const restore = driver.poisonQueue();
      await awhile();
      restore();
      await driver.expectStatus(0x1b);
      await driver.resume();
      await driver.finish();
    },
  },
  {
    name: 'the registers of a queue read the same before, during and after the rest',
    requirements: ['suspend.device.5'],
    run: async (driver) => {
      await driver.start();
      const { transport } = driver;
      const sizes = async (): Promise<string> =>
        [await transport.readQueueSize(0), await transport.readQueueSize(9)].join();
      const before = await sizes();
      await driver.suspend();
      expect((await sizes()) === before, 'the sizes of queues change with the suspend');
      await driver.expectStatus(0x1b);
      await driver.resume();
      expect((await sizes()) === before, 'the sizes of queues change with the resume');
      await works(driver);
    },
  },
  {
    name: 'a queue that is enabled at rest is left alone until the resume',
    requirements: ['suspend.device.4'],
    run: async (driver) => {
      await driver.start({ withoutQueue: 'without a queue' });
      await driver.suspend();
      await driver.enableQueue().catch(refusal);
      driver.send(20);
      await awhile();
      driver.collect();
      expect(driver.outstanding === 1, 'a request is done at rest');
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
      await awhile();
      const isReset = await driver.transport.queueIsReset(0);
      driver.offer(21);
      await driver.resume();
      driver.transport.kick(0);
      await awhile();
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
      driver.transport.kick(0);
      await driver.expectStatus(0x0f);
      await driver.suspend();
      driver.transport.kick(0);
      await awhile();
      await driver.expectStatus(0x1b);
      await driver.resume();
      driver.transport.kick(0);
      await driver.expectStatus(0x0f);
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
      const stale = driver.queue!.nextAvailable;
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
