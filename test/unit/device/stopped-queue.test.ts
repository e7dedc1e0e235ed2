/** A single queue that is stopped, for transports whose other side keeps the positions; and queues that are looked at without kicks. */
import { describe, expect, it } from 'vitest';
import { Device } from '../../../src/device/device.ts';
import type { QueueState } from '../../../src/queue/device-queue.ts';
import { Feature } from '../../../src/spec/features.ts';
import { ControlledType, MORE_REQUESTS, REQUESTS } from '../../support/controlled-type.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { QueuePair, queueKinds } from '../../support/queue-pair.ts';

const kinds = queueKinds.filter(({ features }) => features.inOrder !== true && features.eventIdx);

function start(kind: (typeof kinds)[number]): {
  device: Device;
  type: ControlledType;
  pair: QueuePair;
  clock: FakeClock;
} {
  const pair = new QueuePair(kind, 8);
  const clock = new FakeClock();
  const type = new ControlledType(8);
  const device = new Device(type, pair.memory, { offer: kind.offer, clock });
  const accepted = [Feature.VERSION_1, ...kind.accept].reduce((set, bit) => set | (1n << BigInt(bit)), 0n);
  device.writeFeatures(0, Number(accepted & 0xffff_ffffn));
  device.writeFeatures(1, Number(accepted >> 32n));
  device.writeStatus(0x0f);
  device.configureQueue(REQUESTS, (slot) => Object.assign(slot, pair.driver.layout));
  device.enableQueue(REQUESTS);
  return { device, type, pair, clock };
}

describe.each(kinds)('a single queue, $name', (kind) => {
  it('is stopped once nothing of it is in processing, and goes on from its positions', () => {
    const { device, type, pair } = start(kind);
    type.answering = 'when told';
    pair.offer(7);
    pair.driver.expose();
    device.kick(REQUESTS);
    let positions: QueueState | undefined;
    device.service.stop(device.queues[REQUESTS]!, {
      limitMs: 1000,
      stopped: (state) => {
        positions = state;
      },
      failed: (error) => expect.unreachable(error.message),
    });
    expect(positions).toBeUndefined();
    pair.offer(8);
    pair.driver.expose();
    device.kick(REQUESTS);
    expect(type.held).toHaveLength(1);
    type.answerAll();
    expect(positions).toBeDefined();
    expect(pair.collect()).toMatchObject({ token: 7, answer: 7 });
    device.kick(REQUESTS);
    expect(type.held).toHaveLength(0);
    type.answering = 'at once';
    device.configureQueue(REQUESTS, (slot) => Object.assign(slot, pair.driver.layout));
    device.enableQueue(REQUESTS, positions);
    expect(pair.collect()).toMatchObject({ token: 8, answer: 8 });
  });

  it('goes on when what is in processing does not end in time', async () => {
    const { device, type, pair, clock } = start(kind);
    type.answering = 'when told';
    pair.offer(7);
    pair.driver.expose();
    device.kick(REQUESTS);
    const errors: string[] = [];
    device.service.stop(device.queues[REQUESTS]!, {
      limitMs: 1000,
      stopped: () => expect.unreachable(),
      failed: ({ message }) => errors.push(message),
    });
    await clock.advance(1001);
    expect(errors).toEqual(['transport: what is being processed did not end within 1000 ms']);
    pair.offer(8);
    pair.driver.expose();
    device.kick(REQUESTS);
    expect(type.held).toHaveLength(2);
  });

  it('tells who waits for it that it was reset', () => {
    const { device, type, pair } = start(kind);
    type.answering = 'when told';
    pair.offer(7);
    pair.driver.expose();
    device.kick(REQUESTS);
    const errors: string[] = [];
    device.service.stop(device.queues[REQUESTS]!, {
      limitMs: 1000,
      stopped: () => expect.unreachable(),
      failed: ({ message }) => errors.push(message),
    });
    device.reset();
    expect(errors).toEqual(['the queue was reset']);
  });

  it('is looked at without a kick, and asks for none', () => {
    const { device, pair } = start(kind);
    expect(device.service.poll()).toBe(0);
    for (let token = 1; token <= 3; token++) pair.offer(token, 1);
    pair.driver.expose();
    expect(device.service.poll()).toBe(3);
    expect([pair.collect()?.token, pair.collect()?.token, pair.collect()?.token]).toEqual([1, 2, 3]);
    expect(device.queues[REQUESTS]!.served).toBe(3);
    pair.offer(4, 1);
    expect(pair.driver.expose()).toBe(false);
    device.service.scan();
    expect(pair.collect()?.token).toBe(4);
    pair.offer(5, 1);
    expect(pair.driver.expose()).toBe(true);
  });
});

it('a queue that is not in use cannot be stopped', () => {
  const { device } = start(kinds[0]!);
  const stop = (): void => {
    device.service.stop(device.queues[MORE_REQUESTS]!, { limitMs: 1, stopped: () => {}, failed: () => {} });
  };
  expect(stop).toThrow('queue 1 is not in use: it cannot be stopped');
});
