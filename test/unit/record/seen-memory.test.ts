/** What a device of ours reads of its queues is in the trace, and judged. */
import { describe, expect, it, vi } from 'vitest';
import { GuestMemory } from '../../../src/memory/guest-memory.ts';
import { loadAcquire, storeRelease } from '../../../src/memory/order.ts';
import { TraceReader } from '../../../src/monitor/trace-format.ts';
import { SeenMemory } from '../../../src/record/seen-memory.ts';
import { Feature } from '../../../src/spec/features.ts';
import { FaultyDisk } from '../../../src/storage/faulty-disk.ts';
import { MemoryDisk } from '../../../src/storage/memory-disk.ts';
import { judgeLines, recordBlock, recordedWays } from '../../support/recorded-rig.ts';

function failures(lines: readonly string[]): Record<string, string> {
  const failed = [...judgeLines(lines).values()].filter(({ result }) => result === 'fail');
  return Object.fromEntries(failed.map(({ rule, failures: [first] }) => [rule.id, first!.message]));
}

/** Address and length of each read of the device. */
function readsIn(lines: readonly string[]): readonly { readonly address: number; readonly length: number }[] {
  const reader = new TraceReader();
  return lines.flatMap((line) => {
    const event = reader.read(line);
    return event?.kind === 'memory' && event.access === 'read' ? [event] : [];
  });
}

const rings = [
  ['split', []],
  ['packed', [Feature.RING_PACKED]],
] as const;

describe.each(recordedWays)('over %s', (way) => {
  describe.each(rings)('a block device with %s rings', (ring, offer) => {
    it('reads its queue while it runs, which is in the trace, and not at rest', async () => {
      const { device, driver, lines } = await recordBlock(way, { device: { offer }, driver: { queueSize: 8 } });
      await driver.initialize();
      await driver.read(3, 512);
      const { descriptorArea } = device.queues[0]!.layout;
      const reads = readsIn(lines);
      expect(reads.some(({ address }) => address >= descriptorArea && address < descriptorArea + 128)).toBe(true);
      await driver.suspend();
      const before = readsIn(lines).length;
      await driver.driver.transport.readStatus();
      expect(readsIn(lines).length).toBe(before);
      await driver.resume();
      const verdicts = judgeLines(lines);
      expect(failures(lines)).toEqual({});
      expect(verdicts.get('suspend.device.4')!.result).toBe('pass');
      expect(verdicts.get(`${ring}.device.desc.2`)!.result).toBe('pass');
    });

    it('that looks into its queue at rest is found out', async () => {
      const { device, driver, lines } = await recordBlock(way, { device: { offer }, driver: { queueSize: 8 } });
      await driver.initialize();
      await driver.read(3, 512);
      await driver.suspend();
      device.queues[0]!.queue!.verify();
      await driver.resume();
      expect(failures(lines)).toEqual({
        'suspend.device.4': 'a read of the memory of queue 0 while the device is suspended',
      });
    });

    it('that reads what it may only write is found out', async () => {
      const disk = new FaultyDisk(new MemoryDisk({ capacitySectors: 16 }));
      const rig = await recordBlock(way, { device: { offer }, driver: { queueSize: 8 }, disk });
      const { driver, lines, deviceMemory } = rig;
      await driver.initialize();
      disk.hold();
      const load = driver.read(3, 512);
      await vi.waitFor(() => expect(disk.held.length).toBe(1));
      const { view } = deviceMemory().find(0, 8)!;
      const { descriptorArea, size } = rig.device.queues[0]!.layout;
      const tables = Array.from({ length: size }, (_, n) => view.getUint32(descriptorArea + 16 * n, true));
      // The second descriptor of the table is the data.
      const data = view.getUint32(tables.find((address) => address !== 0)! + 16, true);
      view.getUint8(data);
      disk.release();
      await load;
      expect(Object.keys(failures(lines))).toEqual([`${ring}.device.desc.2`]);
    });
  });
});

describe('seen memory', () => {
  const bytes = new Uint8Array(64);
  const memory = GuestMemory.over(bytes);

  it('is the same memory, and tells of fields and words that are read', () => {
    const seen = new SeenMemory(memory);
    const told: string[] = [];
    seen.onRead = (address, length) => told.push(`${address}+${length}`);
    const region = seen.locate(0, 64, 'rule', 'all');
    region.view.setUint32(8, 0x01020304, true);
    storeRelease(region, 12, 0x0506);
    expect(bytes.slice(8, 14)).toEqual(Uint8Array.of(4, 3, 2, 1, 6, 5));
    expect(told).toEqual([]);
    expect(region.view.getUint32(8, true)).toBe(0x01020304);
    expect(region.view.getUint16(8, true)).toBe(0x0304);
    expect(region.view.getUint8(8)).toBe(4);
    expect(loadAcquire(region, 12)).toBe(0x0506);
    expect(told).toEqual(['8+4', '8+2', '8+1', '12+2']);
  });

  it('tells of writes as the memory does', () => {
    const written: number[][] = [];
    memory.onWrite = (...range) => written.push(range);
    new SeenMemory(memory).onWrite!(3, 4);
    expect(written).toEqual([[3, 4]]);
  });

  it('cannot be memory that other threads have', () => {
    const shared = GuestMemory.over(new Uint8Array(new SharedArrayBuffer(64)));
    expect(() => new SeenMemory(shared)).toThrow(RangeError);
  });
});
