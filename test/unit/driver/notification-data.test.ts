import { afterEach, describe, expect, it, vi } from 'vitest';
import { MmioLoopback } from '../../../src/hosts/loopback/mmio.ts';
import { PciLoopback } from '../../../src/hosts/loopback/pci.ts';
import { Feature } from '../../../src/spec/features.ts';
import { Mmio } from '../../../src/spec/mmio.ts';
import { ioLayout, memoryLayout } from '../../../src/transports/pci/device.ts';
import { settle } from '../../support/fake-clock.ts';
import { RequestRig } from '../../support/request-rig.ts';

const { NOTIFICATION_DATA, NOTIF_CONFIG_DATA, RING_PACKED, EVENT_IDX, INDIRECT_DESC } = Feature;

interface Kick {
  readonly width: number;
  readonly value: number;
}

/** The notifications of a driver as they are written, over whatever transport. */
function watchKicks(): Kick[] {
  const kicks: Kick[] = [];
  const { writeBar } = PciLoopback.prototype;
  vi.spyOn(PciLoopback.prototype, 'writeBar').mockImplementation(function (
    this: PciLoopback,
    bar,
    offset,
    width,
    value,
  ) {
    const { notify } = (bar === ioLayout.structures.notify.bar ? ioLayout : memoryLayout).structures;
    if (offset >= notify.offset && offset < notify.offset + notify.length) kicks.push({ width, value });
    writeBar.call(this, bar, offset, width, value);
  });
  const { write } = MmioLoopback.prototype;
  vi.spyOn(MmioLoopback.prototype, 'write').mockImplementation(function (this: MmioLoopback, offset, width, value) {
    if (offset === Mmio.QUEUE_NOTIFY) kicks.push({ width, value });
    write.call(this, offset, width, value);
  });
  return kicks;
}

afterEach(() => vi.restoreAllMocks());

/** What a queue is called, with and without VIRTIO_F_NOTIF_CONFIG_DATA; only PCI has other names (§4.1.5.2, §4.2.3.3). */
const transports = [
  { way: 'pci io', width: 2, name: 0x8001 },
  { way: 'pci memory', width: 2, name: 0x8001 },
  { way: 'mmio', width: 4, name: 1 },
] as const;

describe.each(transports)('a kick over $way', ({ way, width, name }) => {
  const kick = async (offer: readonly number[], decline: readonly number[] = []): Promise<Kick[]> => {
    const rig = await RequestRig.start({ way, offer, driver: { decline: [EVENT_IDX, INDIRECT_DESC, ...decline] } });
    const kicks = watchKicks();
    for (let n = 0; n < 5; n++) {
      const request = rig.request(1, n);
      await settle();
      expect(request.value).toBe('done');
    }
    vi.restoreAllMocks();
    return kicks;
  };

  it('is the index of the queue', async () => {
    expect(await kick([])).toEqual(Array(5).fill({ width, value: 1 }));
    expect(await kick([NOTIFICATION_DATA, NOTIF_CONFIG_DATA], [NOTIFICATION_DATA, NOTIF_CONFIG_DATA])).toEqual(
      Array(5).fill({ width, value: 1 }),
    );
  });

  it('is what the device calls the queue with VIRTIO_F_NOTIF_CONFIG_DATA', async () => {
    expect(await kick([NOTIF_CONFIG_DATA])).toEqual(Array(5).fill({ width, value: name }));
  });

  it('says where the next buffer will be with VIRTIO_F_NOTIFICATION_DATA: the available index of a split ring', async () => {
    const values = (queue: number): Kick[] =>
      [1, 2, 3, 4, 5].map((next) => ({ width: 4, value: next * 0x1_0000 + queue }));
    expect(await kick([NOTIFICATION_DATA])).toEqual(values(1));
    expect(await kick([NOTIFICATION_DATA, NOTIF_CONFIG_DATA])).toEqual(values(name));
  });

  it('says where the next buffer will be with VIRTIO_F_NOTIFICATION_DATA: position and wrap counter of a packed ring', async () => {
    // Two descriptors each in a ring of eight.
    const values = [0x8002, 0x8004, 0x8006, 0x0000, 0x0002].map((next) => ({ width: 4, value: next * 0x1_0000 + 1 }));
    expect(await kick([NOTIFICATION_DATA, RING_PACKED])).toEqual(values);
  });

  it('finds the queue from the ring, whatever else it says and whichever queue it names', async () => {
    const rig = await RequestRig.start({ way, offer: [NOTIFICATION_DATA, NOTIF_CONFIG_DATA] });
    const { transport } = rig.connection;
    for (const queue of [0, 1, 2, 3, 7, 0xff, 0x7fff, 0x8000, 0xffff]) {
      for (const next of [0, 1, 7, 8, 0x7fff, 0x8000, 0xffff]) transport.kick(queue, next);
    }
    const request = rig.request(1, 7);
    await settle();
    expect([rig.device.status, request.value]).toEqual([0x0f, 'done']);
  });
});

it('a kick after a resume carries where the queue is, not where it was suspended', async () => {
  const rig = await RequestRig.start({ way: 'mmio', offer: [NOTIFICATION_DATA], driver: { decline: [EVENT_IDX] } });
  rig.type.answering = 'when told';
  const out = rig.request(0, 1);
  await settle();
  const suspended = rig.driver.suspend();
  await settle();
  rig.type.answerAll();
  await rig.clock.advance(1);
  await suspended;
  const kicks = watchKicks();
  await rig.driver.resume();
  expect(out.value).toBe('done');
  rig.type.answering = 'at once';
  const next = rig.request(0, 2);
  await settle();
  expect(next.value).toBe('done');
  expect(kicks).toEqual([{ width: 4, value: 2 * 0x1_0000 }]);
});

it('a split ring carries all 16 bits of its available index', async () => {
  const rig = await RequestRig.start({ way: 'pci io', offer: [NOTIFICATION_DATA], driver: { decline: [EVENT_IDX] } });
  const kicks = watchKicks();
  for (let n = 0; n < 0x8000 / 8; n++) {
    for (let k = 0; k < 8; k++) rig.request(0, k);
    await settle();
  }
  rig.request(0, 1);
  expect(kicks).toHaveLength(0x8000 / 8);
  expect(kicks.at(-1)).toEqual({ width: 4, value: 0x8000 * 0x1_0000 });
});
