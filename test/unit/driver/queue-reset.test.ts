import { describe, expect, it } from 'vitest';
import { StatusWaitError } from '../../../src/driver/status-wait.ts';
import { StateError } from '../../../src/spec/fault.ts';
import { Feature, featureSet } from '../../../src/spec/features.ts';
import { startDriverRig } from '../../support/driver-rig.ts';
import { settle } from '../../support/fake-clock.ts';
import { outcome } from '../../support/outcome.ts';
import { RequestRig } from '../../support/request-rig.ts';
import { ways } from '../../support/rig.ts';

const { RING_RESET, RING_PACKED } = Feature;
const settings = ways.flatMap((way) =>
  Object.entries({ split: [RING_RESET], packed: [RING_RESET, RING_PACKED] }).map(
    ([format, offer]) => [`${way}, ${format}`, { way, offer }] as const,
  ),
);

describe.each(settings)('a driver that resets one of its queues, over %s,', (_, options) => {
  it('gets rejected what the device had, and goes on with another size', async () => {
    const rig = await RequestRig.start(options);
    for (const size of [4, 8, 2]) {
      rig.type.answering = 'when told';
      const lost = rig.request(0, size);
      await settle();
      await rig.driver.resetQueue(0, { size });
      await settle();
      expect(lost.value).toEqual(new StateError('queue 0 was reset by its driver'));
      expect(rig.driver.queues[0]?.size).toBe(size);
      // The back-end still has the buffer: nothing of it reaches the driver, and the queue is served once it has ended.
      const next = rig.request(0, 100 + size);
      await settle();
      expect(rig.type.held).toHaveLength(1);
      rig.type.answering = 'at once';
      rig.type.answerAll();
      await settle();
      expect(next.value).toBe('done');
      for (let n = 0; n < 2 * size; n++) {
        const more = rig.request(0, n);
        await settle();
        expect(more.value).toBe('done');
      }
    }
  });

  it('has what the device had used before; the other queue goes on', async () => {
    const rig = await RequestRig.start(options);
    rig.type.answering = 'when told';
    const [used, lost, other] = [rig.request(0, 1), rig.request(0, 2), rig.request(1, 3)];
    await settle();
    const { onUsedBuffer } = rig.connection.transport;
    rig.connection.transport.onUsedBuffer = undefined;
    rig.type.answer();
    rig.connection.transport.onUsedBuffer = onUsedBuffer;
    expect(used.value).toBe('pending');
    await rig.driver.resetQueue(0);
    await settle();
    expect([used.value, other.value]).toEqual(['done', 'pending']);
    expect(lost.value).toBeInstanceOf(StateError);
    rig.type.answerAll();
    await settle();
    expect(other.value).toBe('done');
  });

  it('keeps what waits for room, and what comes meanwhile, for the new rings', async () => {
    const rig = await RequestRig.start(options);
    rig.type.answering = 'when told';
    const out = Array.from({ length: 30 }, (_, n) => rig.request(0, n));
    await settle();
    const had = rig.type.held.length;
    const reset = rig.driver.resetQueue(0, { size: 4 });
    const meanwhile = rig.request(0, 99);
    rig.type.answering = 'at once';
    await reset;
    rig.type.answerAll();
    await settle();
    expect(out.filter(({ value }) => value === 'done')).toHaveLength(30 - had);
    expect(out.filter(({ value }) => value instanceof StateError)).toHaveLength(had);
    expect(meanwhile.value).toBe('done');
  });

  it('rejects what waits and is too long for the new rings', async () => {
    const rig = await RequestRig.start({ ...options, driver: { decline: [Feature.INDIRECT_DESC] } });
    rig.type.answering = 'when told';
    const out = rig.request(0, 1, 8);
    const [long, short] = [rig.request(0, 2, 5), rig.request(0, 3, 4)];
    await rig.driver.resetQueue(0, { size: 4 });
    rig.type.answering = 'at once';
    rig.type.answerAll();
    await settle();
    expect(out.value).toBeInstanceOf(StateError);
    expect(long.value).toBeInstanceOf(StateError);
    expect(short.value).toBe('done');
  });

  it('gives back the memory of the old rings, and suspends and resumes with the new ones', async () => {
    const rig = await RequestRig.start(options);
    const free = rig.allocator.freeBytes;
    for (let n = 0; n < 10; n++) await rig.driver.resetQueue(n & 1);
    expect(rig.allocator.freeBytes).toBe(free);
    await rig.driver.suspend();
    await rig.driver.resume();
    const done = [rig.request(0, 5), rig.request(1, 6)];
    await settle();
    expect(done.map(({ value }) => value)).toEqual(['done', 'done']);
  });
});

describe('the reset of a queue is refused, and nothing is touched,', () => {
  const reasons: readonly [string, (rig: RequestRig) => Promise<unknown> | unknown, RegExp][] = [
    ['while suspended', (rig) => rig.driver.suspend(), /resume\(\) first/],
    ['before the device is set up', (rig) => rig.driver.reset(), /initialize\(\) first/],
    ['while a queue is reset', (rig) => void rig.driver.resetQueue(1), /wait for the reset of queue 1/],
  ];
  for (const [when, act, reason] of reasons) {
    it(when, async () => {
      const rig = await RequestRig.start({ offer: [RING_RESET] });
      await act(rig);
      const free = rig.allocator.freeBytes;
      const refused = rig.driver.resetQueue(0).catch((error: unknown) => error);
      expect(rig.allocator.freeBytes).toBe(free);
      expect(await refused).toEqual(
        expect.objectContaining({ name: 'StateError', message: expect.stringMatching(reason) }),
      );
    });
  }

  it('without VIRTIO_F_RING_RESET', async () => {
    const rig = await RequestRig.start();
    await expect(rig.driver.resetQueue(0)).rejects.toThrow(/does not offer VIRTIO_F_RING_RESET/);
  });

  it('for a queue or a size that there is not, and for want of memory', async () => {
    const rig = await RequestRig.start({ offer: [RING_RESET] });
    const done = rig.request(0, 1);
    for (const size of [0, 3, 65_536, 0.5])
      await expect(rig.driver.resetQueue(0, { size })).rejects.toThrow(RangeError);
    for (const index of [-1, 2]) await expect(rig.driver.resetQueue(index)).rejects.toThrow(RangeError);
    await expect(rig.driver.resetQueue(0, { size: 32_768 })).rejects.toThrow(/guest memory left/);
    await settle();
    expect([rig.driver.state, done.value]).toEqual(['running', 'done']);
  });

  it('and so is a suspend meanwhile', async () => {
    const rig = await RequestRig.start({ offer: [RING_RESET] });
    const reset = rig.driver.resetQueue(0);
    await expect(rig.driver.suspend()).rejects.toThrow(/wait for the reset of queue 0/);
    await reset;
    await rig.driver.suspend();
    expect(rig.driver.state).toBe('suspended');
  });
});

describe('the reset of a queue', () => {
  const start = async (): ReturnType<typeof startDriverRig> => {
    const rig = await startDriverRig();
    rig.device.offered = featureSet(Feature.VERSION_1, Feature.SUSPEND, RING_RESET);
    await rig.driver.initialize();
    rig.device.takeLog();
    return rig;
  };

  it('is written once; nothing is offered, kicked or enabled before the device shows that it is done', async () => {
    const { driver, device, clock, answer } = await start();
    device.onQueueReset = () => {};
    const lost = outcome(driver.read(0, 512));
    await settle();
    expect(device.takeLog()).toEqual(['kick 0']);
    const reset = outcome(driver.driver.resetQueue(0));
    const later = outcome(driver.read(1, 512));
    await clock.advance(1000);
    expect(device.takeLog()).toEqual(['reset 0']);
    expect([lost.value, reset.value]).toEqual(['pending', 'pending']);
    delete device.queues[0];
    await clock.advance(1000);
    expect(reset.value).toBe('done');
    expect(lost.value).toBeInstanceOf(StateError);
    expect(device.takeLog()).toEqual(['enable 0', 'kick 0']);
    answer();
    await settle();
    expect(later.value).toBe('done');
  });

  it('that does not end within the limit ends the device: FAILED, a reset, and every request is rejected', async () => {
    const { driver, device, clock } = await start();
    device.onQueueReset = () => {};
    const lost = outcome(driver.read(0, 512));
    await settle();
    const reset = outcome(driver.driver.resetQueue(0, { limitMs: 500 }));
    await clock.advance(400);
    expect([lost.value, reset.value]).toEqual(['pending', 'pending']);
    await clock.advance(200);
    expect(reset.value).toEqual(expect.objectContaining({ name: StatusWaitError.name, fault: 'limit' }));
    expect(lost.value).toBe(reset.value);
    expect(device.takeLog()).toEqual(['kick 0', 'reset 0', 'status 8f', 'status 00']);
    expect(driver.driver.state).toBe('failed');
    await driver.initialize();
    expect(driver.driver.state).toBe('running');
  });

  it.each([
    [0x4f, 'needsReset'],
    [0x8f, 'failed'],
    [0x00, 'lost'],
    [0xff, 'gone'],
  ])('ends when the device shows 0x%x', async (status, fault) => {
    const { driver, device, clock } = await start();
    device.onQueueReset = () => {
      device.status = status;
    };
    const reset = outcome(driver.driver.resetQueue(0));
    await clock.advance(20_000);
    expect(reset.value).toEqual(expect.objectContaining({ fault }));
    expect(driver.driver.state).toBe('failed');
  });

  it('ends when the device makes the queue smaller than the driver wants it, or takes it away', async () => {
    for (const size of [4, 0]) {
      const { driver, device, clock } = await start();
      const reset = outcome(driver.driver.resetQueue(0));
      device.queueSize = size;
      await clock.advance(20_000);
      expect(reset.value).toEqual(expect.objectContaining({ rule: 'pci.device.common.15' }));
      expect(driver.driver.state).toBe('failed');
    }
  });

  it('gives way to a reset of the device; what comes after it is another life', async () => {
    const { driver, device, clock, allocator } = await start();
    const free = allocator.freeBytes;
    device.onQueueReset = () => {};
    const reset = outcome(driver.driver.resetQueue(0));
    await clock.advance(10);
    await driver.initialize();
    await clock.advance(20);
    expect(reset.value).toEqual(new StateError('the device was reset by its driver'));
    await clock.advance(20_000);
    expect(driver.driver.state).toBe('running');
    expect(allocator.freeBytes).toBe(free);
    device.onQueueReset = (queue) => delete device.queues[queue];
    await driver.driver.resetQueue(0);
  });
});
