import { describe, expect, it } from 'vitest';
import { BlockDriver } from '../../../../src/devices/block/driver.ts';
import { BlockConfig, BlockFeature, BlockHeader } from '../../../../src/devices/block/layout.ts';
import type { DriverTransport } from '../../../../src/driver/transport.ts';
import { GuestAllocator } from '../../../../src/memory/allocator.ts';
import { GuestMemory } from '../../../../src/memory/guest-memory.ts';
import type { QueueLayout } from '../../../../src/queue/device-queue.ts';
import type { AccessWidth } from '../../../../src/spec/access-width.ts';
import { ProtocolError } from '../../../../src/spec/fault.ts';
import { Feature, type FeatureSet, featureSet } from '../../../../src/spec/features.ts';
import { field } from '../../../support/field.ts';
import { RawQueue } from '../../../support/raw-queue.ts';

const SECTORS = 64;

/** A device that is its registers, and rings that the test writes. It resets whenever it is told to. */
class LyingDevice implements DriverTransport {
  readonly deviceId: number = 2;
  readonly memory: GuestMemory = GuestMemory.over(new Uint8Array(0x10000));
  readonly config: Uint8Array = new Uint8Array(BlockConfig.BYTES);
  readonly writtenStatus: number[] = [];
  offered: FeatureSet = featureSet(Feature.VERSION_1, BlockFeature.SEG_MAX, BlockFeature.FLUSH);
  queueSize = 8;
  queue!: RawQueue;
  onUsedBuffer: (() => void) | undefined;
  onConfigChange: (() => void) | undefined;
  status = 0;
  generation = 0;
  generationStep = 0;

  constructor() {
    const view = new DataView(this.config.buffer);
    view.setBigUint64(BlockConfig.CAPACITY, BigInt(SECTORS), true);
    view.setUint32(BlockConfig.SEG_MAX, 4, true);
  }

  readStatus = (): number => this.status;
  writeStatus(value: number): void {
    this.writtenStatus.push(value);
    this.status = value;
  }
  readFeatures = (): FeatureSet => this.offered;
  writeFeatures(): void {}
  readQueueSize = (): number => this.queueSize;
  enableQueue(_index: number, layout: QueueLayout): void {
    this.queue = new RawQueue(this.memory, 8, 0);
    this.queue.layout = layout;
  }
  readConfigGeneration(): number {
    this.generation += this.generationStep;
    return this.generation;
  }
  readConfig = (offset: number, width: AccessWidth): number => field(this.config, offset, width);
  writeConfig(): void {}
  resetQueue(): void {}
  queueIsReset = (): boolean => true;
  kick(): void {}

  /** Says that buffer `id` was used. */
  use(position: number, id: number, length: number): void {
    this.queue.setUsed(position, id, length);
    this.queue.usedIndex = position + 1;
  }

  /** Writes the status byte of the request whose chain begins at descriptor `head`. */
  setStatus(head: number, status: number): void {
    const { view } = this.memory.regions[0]!;
    const { descriptorArea } = this.queue.layout;
    const header = Number(view.getBigUint64(descriptorArea + 16 * head, true));
    view.setUint8(header + BlockHeader.BYTES, status);
  }
}

async function start(
  device = new LyingDevice(),
): Promise<{ device: LyingDevice; driver: BlockDriver; failures: Error[] }> {
  const driver = new BlockDriver(device, new GuestAllocator(device.memory, 0x1000, 0xf000));
  await driver.initialize();
  const failures: Error[] = [];
  driver.driver.onFailed = (error) => failures.push(error);
  return { device, driver, failures };
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Two reads that are out; their chains begin at descriptors 0 and 3. */
async function twoReads(): Promise<
  Awaited<ReturnType<typeof start>> & { reads: Promise<PromiseSettledResult<unknown>[]> }
> {
  const started = await start();
  const reads = Promise.allSettled([started.driver.read(0, 512), started.driver.read(1, 512)]);
  await turn();
  expect(started.device.queue.availableIndex).toBe(2);
  return { ...started, reads };
}

const lies: readonly [string, string, (device: LyingDevice) => void][] = [
  ['an id that is no head', 'split.device.used.id', (device) => device.use(0, 1, 513)],
  ['an id beyond the queue', 'split.device.used.id', (device) => device.use(0, 8, 513)],
  ['more bytes than there is room for', 'split.device.used.2', (device) => device.use(0, 0, 514)],
  ['a used index that jumps', 'split.device.used.index', (device) => (device.queue.usedIndex = 3)],
  ['a used index that goes back', 'split.device.used.index', (device) => (device.queue.usedIndex = 0xffff)],
];

describe('a device that lies about what it used loses its driver', () => {
  for (const [name, rule, tell] of lies) {
    it(name, async () => {
      const { device, driver, reads, failures } = await twoReads();
      tell(device);
      device.onUsedBuffer?.();
      for (const result of await reads) {
        expect(result.status).toBe('rejected');
        const { reason } = result as PromiseRejectedResult;
        expect(reason).toBeInstanceOf(ProtocolError);
        expect((reason as ProtocolError).rule).toBe(rule);
      }
      expect(failures).toHaveLength(1);
      expect(driver.driver.state).toBe('failed');
      // FAILED, then reset: the device is told, and touches the memory no more.
      expect(device.writtenStatus.slice(-2)).toEqual([0x8f, 0]);
      await expect(driver.read(0, 512)).rejects.toThrow(/call initialize/);
      await driver.initialize();
      expect(driver.driver.state).toBe('running');
    });
  }

  it('the same buffer twice: the request that ended has ended well, the other one is rejected', async () => {
    const { device, reads } = await twoReads();
    device.setStatus(3, 0);
    device.use(0, 3, 513);
    device.use(1, 3, 513);
    device.onUsedBuffer?.();
    const [first, second] = await reads;
    expect(second!.status).toBe('fulfilled');
    expect(first).toMatchObject({ status: 'rejected', reason: { rule: 'split.device.used.id' } });
  });
});

const wrongAnswers: readonly [string, string, number, number][] = [
  ['that it did not write', 'split.device.used.2', 0xff, 513],
  ['behind the bytes that it says it wrote', 'split.device.used.2', 0, 512],
  ['in a buffer that it says it did not write to', 'split.device.used.2', 0, 0],
  ['that does not exist', 'blk.device.op.status', 3, 513],
  ['that does not exist either', 'blk.device.op.status', 0xfe, 513],
];

describe('a device whose answer makes no sense loses the request, for a status', () => {
  for (const [name, rule, status, written] of wrongAnswers) {
    it(name, async () => {
      const { device, reads, failures } = await twoReads();
      device.setStatus(0, status);
      device.setStatus(3, 0);
      device.use(0, 0, written);
      device.use(1, 3, 513);
      device.onUsedBuffer?.();
      const [first, second] = await reads;
      expect(first).toMatchObject({ status: 'rejected', reason: { name: ProtocolError.name, rule } });
      expect(second!.status).toBe('fulfilled');
      expect(failures).toEqual([]);
    });
  }

  it('of another request: the one that it did not answer is not taken for done', async () => {
    const { device, reads } = await twoReads();
    device.setStatus(0, 0);
    device.use(0, 3, 513);
    device.onUsedBuffer?.();
    device.use(1, 0, 513);
    device.onUsedBuffer?.();
    const [first, second] = await reads;
    expect(first!.status).toBe('fulfilled');
    expect(second).toMatchObject({ status: 'rejected', reason: { rule: 'split.device.used.2' } });
  });
});

describe('a device that makes no sense is not initialised', () => {
  const refused: readonly [string, string, (device: LyingDevice) => void][] = [
    ['without VERSION_1', 'features.device.reserved.1', (device) => (device.offered = 0n)],
    ['without a queue', 'pci.device.common.14', (device) => (device.queueSize = 0)],
    ['with a queue of three entries', 'pci.device.common.15', (device) => (device.queueSize = 3)],
    ['with a queue of too many entries', 'pci.device.common.15', (device) => (device.queueSize = 0xffff)],
    ['whose configuration never settles', 'config.device.generation', (device) => (device.generationStep = 1)],
  ];
  for (const [name, rule, set] of refused) {
    it(name, async () => {
      const device = new LyingDevice();
      set(device);
      const driver = new BlockDriver(device, new GuestAllocator(device.memory, 0x1000, 0xf000));
      await expect(driver.initialize()).rejects.toMatchObject({ name: ProtocolError.name, rule });
      expect(driver.driver.state).toBe('failed');
      expect(device.status & 0x80).toBe(0x80);
    });
  }
});

it('a block driver does not believe a device that says 0 of its segments and their sizes', async () => {
  const device = new LyingDevice();
  device.offered |= featureSet(BlockFeature.SIZE_MAX);
  new DataView(device.config.buffer).setUint32(BlockConfig.SEG_MAX, 0, true);
  const { driver } = await start(device);
  expect(driver.info).toMatchObject({ sizeMax: 0xffff_ffff, segMax: 1 });
});
