import { describe, expect, it } from 'vitest';
import { ProtocolError } from '../../../src/spec/fault.ts';
import { Feature } from '../../../src/spec/features.ts';
import { PackedDescriptor, PackedFlag } from '../../../src/spec/packed-ring.ts';
import { Used } from '../../../src/spec/split-ring.ts';
import { settle } from '../../support/fake-clock.ts';
import { queueKinds } from '../../support/queue-pair.ts';
import { RequestRig } from '../../support/request-rig.ts';

/** A used entry that a device writes; the used index of a split ring moves by `count`. */
interface Lie {
  readonly name: string;
  readonly id: number;
  readonly length: number;
  readonly count: number;
  /** By format; the lie cannot be told in a format that has none. */
  readonly split: string;
  readonly packed?: string;
}

const lies: readonly Lie[] = [
  { name: 'a buffer that was never offered', id: 7, length: 4, count: 1, split: 'id', packed: 'id' },
  { name: 'a buffer that there cannot be', id: 0xffff, length: 4, count: 1, split: 'id', packed: 'id' },
  { name: 'more bytes than there is room for', id: 0, length: 5, count: 1, split: '2', packed: 'length' },
  { name: 'more buffers than are out', id: 0, length: 4, count: 3, split: 'index' },
  { name: 'buffers back and forth', id: 0, length: 4, count: -1, split: 'index' },
];

/** Writes the first used entry of queue 0 behind the device's back, and interrupts. */
function tell(rig: RequestRig, packed: boolean, { id, length, count }: Lie): void {
  const { view } = rig.memory.regions[0]!;
  const { descriptorArea, deviceArea } = rig.device.queues[0]!;
  if (packed) {
    view.setUint32(descriptorArea + PackedDescriptor.LENGTH, length, true);
    view.setUint16(descriptorArea + PackedDescriptor.ID, id, true);
    const flags = PackedFlag.AVAILABLE | PackedFlag.USED | PackedFlag.WRITE;
    view.setUint16(descriptorArea + PackedDescriptor.FLAGS, flags, true);
  } else {
    view.setUint32(deviceArea + Used.RING, id, true);
    view.setUint32(deviceArea + Used.RING + 4, length, true);
    view.setUint16(deviceArea + Used.INDEX, count & 0xffff, true);
  }
  rig.connection.transport.onUsedBuffer?.();
}

describe.each(queueKinds.map((kind) => [kind.name, kind] as const))('a driver whose device lies, %s:', (_, kind) => {
  const packed = kind.offer.includes(Feature.RING_PACKED);
  const told = lies.filter((lie) => !packed || lie.packed !== undefined);

  it.each(told)('$name: every request is rejected with the rule, and the device is reset', async (lie) => {
    const decline = [Feature.INDIRECT_DESC, Feature.EVENT_IDX].filter((bit) => !kind.accept.includes(bit));
    const rig = await RequestRig.start({ offer: kind.offer, driver: { decline } });
    rig.type.answering = 'when told';
    const requests = [rig.request(0, 1), rig.request(0, 2), rig.request(1, 3)];
    await settle();
    tell(rig, packed, lie);
    await rig.clock.advance(10);
    const rule = packed ? `packed.device.used.${lie.packed}` : `split.device.used.${lie.split}`;
    for (const { value } of requests)
      expect(value).toEqual(expect.objectContaining({ name: ProtocolError.name, rule }));
    expect([rig.driver.state, rig.device.status]).toEqual(['failed', 0]);
    // What it held comes back late, and means nothing in the next life.
    rig.type.answering = 'at once';
    await rig.driver.initialize();
    rig.type.answerAll();
    const next = rig.request(0, 4);
    await settle();
    expect(next.value).toBe('done');
  });
});
