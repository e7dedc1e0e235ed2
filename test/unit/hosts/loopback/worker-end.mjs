// A program that loses its worker: `node worker-end.mjs BEHAVIOUR`. It says on standard output what came of its requests,
// and has to end by itself.
import process from 'node:process';
import { BlockDriver } from 'virtio-ts/devices/block';
import { startWorkerDevice } from 'virtio-ts/hosts/loopback/node';
import { GuestAllocator, GuestMemory } from 'virtio-ts/memory';

const [behaviour] = process.argv.slice(2);
const memory = new SharedArrayBuffer(1 << 20);
const name = behaviour === 'not there' ? './nowhere.mjs' : './worker-device.mjs';
const module =
  behaviour === 'no default' ? new URL('data:text/javascript,export const a = 1') : new URL(name, import.meta.url);
const told = { failures: [], results: [] };
try {
  const worker = await startWorkerDevice({ module, memory, options: { behaviour } });
  const allocator = new GuestAllocator(GuestMemory.over(new Uint8Array(memory)), 0x1000, 0xff000);
  const driver = new BlockDriver(worker.transport, allocator);
  await driver.initialize();
  driver.driver.onFailed = (error) => told.failures.push(`${error.name}: ${error.message}`);
  const requests = Promise.allSettled(Array.from({ length: 20 }, (_, n) => driver.write(n, new Uint8Array(512))));
  if (behaviour === 'stuck') {
    await new Promise((resolve) => setTimeout(resolve, 20));
    await worker.close();
    await worker.close();
  }
  told.results = (await requests).map(({ reason }) => `${reason?.name}: ${reason?.message}`);
  await new Promise((resolve) => setImmediate(resolve));
  told.state = driver.driver.state;
  told.later = await driver.read(0, 512).catch((error) => error.name);
  told.again = await driver.initialize().catch((error) => error.name);
} catch (error) {
  told.start = `${error.name}: ${error.message}`;
}
process.stdout.write(JSON.stringify(told));
