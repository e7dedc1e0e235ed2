import { type MessagePort, workerData } from 'node:worker_threads';
import type { Device } from '../../device/device.ts';
import { GuestMemory } from '../../memory/guest-memory.ts';
import type { MessageEnd } from './messages.ts';
import { serveDevice } from './serve.ts';

/** See `node.ts`. */
export type DeviceMaker = (memory: GuestMemory, options: unknown) => Promise<() => Device> | (() => Device);

const { module, memory, options, port } = workerData as {
  module: string;
  memory: SharedArrayBuffer;
  options: unknown;
  port: MessagePort;
};
const { default: maker } = (await import(module)) as { default?: DeviceMaker };
if (typeof maker !== 'function') throw new TypeError(`${module} exports no function by default that makes devices`);
const make = await maker(GuestMemory.over(new Uint8Array(memory)), options);
serveDevice(port as unknown as MessageEnd, make);
