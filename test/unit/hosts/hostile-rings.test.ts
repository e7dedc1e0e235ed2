/** Drivers that break the rules of their rings, over the sockets: the device fails, writes nothing, and serves again after a reset. */
import { expect, it } from 'vitest';
import { Feature, featureSet } from '../../../src/spec/features.ts';
import { splitAreas } from '../../../src/spec/split-ring.ts';
import { FillingType } from '../../support/filling-type.ts';
import { GOOD, hostileRings, MEMORY_BYTES, POISON, QUEUE_SIZE } from '../../support/hostile-rings.ts';
import { RawQueue, WRITE } from '../../support/raw-queue.ts';
import { openFds } from '../unix/open-fds.ts';
import { DrivenOverSocket, protocols } from './over-sockets.ts';

const FEATURES = featureSet(Feature.VERSION_1, Feature.INDIRECT_DESC, Feature.EVENT_IDX);

it.each(protocols)('%s: the device fails for the rule that was broken, and for no other reason', async (protocol) => {
  const fds = openFds();
  const driven = await DrivenOverSocket.open(protocol, new FillingType(QUEUE_SIZE), MEMORY_BYTES);
  const { memory } = driven;
  const { bytes } = memory.regions[0]!;
  const raw = new RawQueue(memory, QUEUE_SIZE, 0);
  const usedEnd = raw.layout.deviceArea + splitAreas(QUEUE_SIZE).device;
  const begin = async (features: bigint): Promise<void> => {
    await driven.transport.writeStatus(0);
    bytes.fill(POISON);
    bytes.fill(0, 0, raw.end);
    raw.descriptor(0, { ...GOOD, flags: WRITE });
    await driven.start(raw, features);
    raw.offer(0);
    await driven.used(raw, 1);
    expect(raw.used(0)).toEqual({ id: 0, length: GOOD.length });
  };
  try {
    for (const { name, rule, set, withoutIndirect } of hostileRings) {
      await begin(withoutIndirect ? FEATURES & ~featureSet(Feature.INDIRECT_DESC) : FEATURES);
      set(raw);
      const before = bytes.slice();
      expect(await driven.failed(), name).toContain(`[${rule}]`);
      const now = bytes.slice();
      now.set(before.subarray(raw.layout.deviceArea, usedEnd), raw.layout.deviceArea);
      expect(Buffer.compare(now, before), name).toBe(0);
    }
    await begin(FEATURES);
  } finally {
    await driven.close();
  }
  expect(openFds()).toBe(fds);
});
