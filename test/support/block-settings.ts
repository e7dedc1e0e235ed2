import { Feature } from '../../src/spec/features.ts';
import { FaultyDisk } from '../../src/storage/faulty-disk.ts';
import { MemoryDisk } from '../../src/storage/memory-disk.ts';
import { FakeClock } from './fake-clock.ts';
import { queueKinds } from './queue-pair.ts';
import { type BlockRig, type BlockRigOptions, pattern, startBlockRig, ways } from './rig.ts';

/** What the two ends of a block device have in common, apart from the way between them. */
interface BlockRing {
  readonly name: string;
  readonly offer: readonly number[];
  readonly decline: readonly number[];
}

const blockRings: readonly BlockRing[] = queueKinds.map(({ name, accept, offer }) => ({
  name,
  offer,
  decline: [Feature.INDIRECT_DESC, Feature.EVENT_IDX].filter((bit) => !accept.includes(bit)),
}));

/** Every way with two rings, every ring with a way or none: what is special of each of them has its own suite. */
const pairs = {
  direct: [0, 11],
  'pci io': [9, 5],
  'pci memory': [3, 6],
  'pci msix': [1, 7],
  'vfio-user': [4, 8],
  mmio: [2, 10],
} as const;

export const blockSettings: readonly (readonly [string, BlockRigOptions])[] = ways.flatMap((way) =>
  pairs[way].map((n) => {
    const { name, offer, decline } = blockRings[n]!;
    return [`${way}, ${name}`, { way, device: { offer }, driver: { decline } }] as const;
  }),
);

export const DISK_SECTORS = 64;
/** What is on the disk at first. */
export const DISK_CONTENTS: Uint8Array = pattern(DISK_SECTORS * 512);

export interface SlowDiskRig extends BlockRig {
  /** In front of `behind`. */
  readonly disk: FaultyDisk;
  /** Holds DISK_CONTENTS. */
  readonly behind: MemoryDisk;
  /** That of both ends. A suspend may take 1 s. */
  readonly clock: FakeClock;
}

/** A driver that has initialised a device with three queues of 16, over a disk that a test can hold. No events yet. */
export async function startSlowDisk(options: BlockRigOptions): Promise<SlowDiskRig> {
  const clock = new FakeClock();
  const behind = new MemoryDisk({ bytes: DISK_CONTENTS });
  const disk = new FaultyDisk(behind);
  const rig = await startBlockRig({
    memoryBytes: 1 << 17,
    ...options,
    disk,
    block: { queues: 3, queueSize: 16, ...options.block },
    device: { ...options.device, clock, suspendLimitMs: 1000 },
    driver: { ...options.driver, clock },
  });
  rig.events.length = 0;
  return { ...rig, disk, behind, clock };
}

/** Everything that waits for nothing but promises has happened, with fields read byte by byte as well. */
export async function turn(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
}
