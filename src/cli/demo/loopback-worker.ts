import { BlockDriver } from '../../devices/block/driver.ts';
import type { MessageTransport } from '../../hosts/loopback/message-transport.ts';
import { startWorkerDevice } from '../../hosts/loopback/node.ts';
import { GuestAllocator } from '../../memory/allocator.ts';
import { GuestMemory } from '../../memory/guest-memory.ts';
import { WriteResult } from './counting-disk.ts';
import { type LoopbackReport, report } from './loopback-report.ts';
import type { LoopbackOptions } from './loopback-thread.ts';
import { TaggedLoad } from './tagged-load.ts';

const MEMORY_BYTES = 16 * 1024 * 1024;

/** The same load with the device in a worker, over shared memory. Times are the driver's: messages to and fro included. */
export async function runInWorker({ cycles, depth, moveEvery, onCycle }: LoopbackOptions): Promise<LoopbackReport> {
  const shared = new SharedArrayBuffer(MEMORY_BYTES);
  const results = new Int32Array(new SharedArrayBuffer(8));
  const memory = GuestMemory.over(new Uint8Array(shared));
  const allocator = new GuestAllocator(memory, 4096, MEMORY_BYTES - 4096);
  const worker = await startWorkerDevice({
    module: new URL('./loopback-device.js', import.meta.url),
    memory: shared,
    options: { sectors: TaggedLoad.sectors(depth), results: results.buffer },
  });
  try {
    const { transport } = worker;
    const driver = new BlockDriver(transport, allocator);
    await driver.initialize();
    const trace = traceStatus(transport);
    const load = new TaggedLoad(driver, allocator);
    load.start(depth);
    const drainsUs: number[] = [];
    let moved = 0;
    let mostInFlight = 0;
    for (let cycle = 1; cycle <= cycles; cycle++) {
      await new Promise((resolve) => setTimeout(resolve, 1));
      load.hold();
      trace.statuses = [];
      mostInFlight = Math.max(mostInFlight, driver.driver.queues[0]!.outstanding);
      const asked = performance.now();
      await driver.suspend();
      drainsUs.push((performance.now() - asked) * 1000);
      if (cycle % moveEvery === 0) {
        await transport.call('renew');
        moved++;
      }
      await driver.resume();
      load.letGo();
      onCycle?.(cycle);
    }
    await load.stop();
    const executed = Atomics.load(results, WriteResult.EXECUTED);
    const repeated = Atomics.load(results, WriteResult.REPEATED);
    return report(
      load.counts,
      { executed, repeated },
      { cycles, moved, statuses: trace.statuses, drainsUs, mostInFlight },
    );
  } finally {
    await worker.close();
  }
}

/** Notes what the driver reads from the status register; a value that is read again at once is noted once. */
function traceStatus(transport: MessageTransport): { statuses: string[] } {
  const trace: { statuses: string[] } = { statuses: [] };
  const read = transport.readStatus.bind(transport);
  transport.readStatus = async () => {
    const status = await read();
    const text = `0x${status.toString(16).padStart(2, '0')}`;
    if (trace.statuses.at(-1) !== text) trace.statuses.push(text);
    return status;
  };
  return trace;
}
