import { describe, expect, it } from 'vitest';
import { Feature } from '../../../src/spec/features.ts';
import { settle } from '../../support/fake-clock.ts';
import { RequestRig } from '../../support/request-rig.ts';
import { ways } from '../../support/rig.ts';

const LARGEST = 32_768;
const formats = {
  split: { offer: [], sizes: [1, 2, LARGEST] },
  packed: { offer: [Feature.RING_PACKED], sizes: [1, 3, 7, 1000, LARGEST] },
};
const settings = ways.flatMap((way) =>
  Object.entries(formats).flatMap(([format, { offer, sizes }]) =>
    sizes.map((queueSize) => ({ way, format, offer, queueSize })),
  ),
);

describe.each(settings)('over $way, $format queues of $queueSize', ({ way, offer, queueSize }) => {
  it('carry as many buffers as they have descriptors, and more that wait, over a suspend and over their end', async () => {
    const driver = { queueSize, decline: [Feature.INDIRECT_DESC] };
    const rig = await RequestRig.start({ way, offer, driver, queueSize: LARGEST });
    expect(rig.driver.queues[0]?.size).toBe(queueSize);
    // One chain through the whole ring, but for one descriptor, so that the next one goes over the end.
    const descriptors = queueSize < 4 ? Math.min(2, queueSize) : queueSize - 1;
    for (let round = 0; round < 3; round++) {
      const requests = Array.from({ length: 5 }, (_, n) => rig.request(0, n, n === 0 ? descriptors : 1));
      await settle();
      expect(requests.map(({ value }) => value)).toEqual(Array(5).fill('done'));
      await rig.driver.suspend();
      await rig.driver.resume();
    }
  });
});

it('a queue of a packed device is made as small as the driver likes; a split one is a power of two', async () => {
  const driver = { queueSize: 5 };
  await expect(RequestRig.start({ driver })).rejects.toThrow(/powers of two/);
  const rig = await RequestRig.start({ driver, offer: [Feature.RING_PACKED] });
  expect(rig.device.queues[0]?.size).toBe(5);
});
