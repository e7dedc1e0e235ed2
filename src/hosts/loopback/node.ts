import { MessageChannel, Worker } from 'node:worker_threads';
import { TransportError } from '../../spec/fault.ts';
import { MessageTransport } from './message-transport.ts';
import type { MessageEnd } from './messages.ts';

/**
 * What a worker's module exports by default: given the shared guest memory and the options, a maker of devices. It is
 * called for the first device, and again for each renewal; what it keeps between the calls is the back-end.
 */
export type { DeviceMaker } from './node-worker.ts';

/** A device in a worker thread. */
export interface WorkerDevice {
  readonly transport: MessageTransport;
  /** Ends the worker; requests that are out are lost. Resolves when it has ended. */
  close(): Promise<void>;
}

export interface WorkerDeviceOptions {
  /** The JavaScript module with the device; see `DeviceMaker`. */
  readonly module: URL;
  /** Guest memory, shared between the two threads. Guest-physical address 0 is its first byte. */
  readonly memory: SharedArrayBuffer;
  /** Handed to the module; has to be clonable. */
  readonly options?: unknown;
}

/**
 * Starts a worker with a device. Rejects with TransportError when its module does not load or throws. The worker keeps this
 * process alive until it is closed or ends by itself.
 */
export async function startWorkerDevice({ module, memory, options }: WorkerDeviceOptions): Promise<WorkerDevice> {
  if (!(memory instanceof SharedArrayBuffer)) {
    throw new TypeError('the memory is no SharedArrayBuffer: the worker would work on a copy of it');
  }
  const { port1, port2 } = new MessageChannel();
  const worker = new Worker(new URL('./node-worker.js', import.meta.url), {
    workerData: { module: module.href, memory, options, port: port2 },
    transferList: [port2],
  });
  let lost: (error: Error) => void = () => {};
  const ended = new Promise<never>((_, reject) => {
    lost = reject;
  });
  // Whoever is still waiting then is told through the transport.
  ended.catch(() => {});
  worker.once('error', (error: unknown) => {
    const message = error instanceof Error ? error.message : String(error);
    lost(new TransportError(`the device's worker failed: ${message}`, { cause: error }));
  });
  worker.once('exit', (code) => lost(new TransportError(`the device's worker ended with code ${code}`)));
  try {
    const transport = await Promise.race([MessageTransport.open(port1 as unknown as MessageEnd), ended]);
    ended.catch((error: Error) => {
      port1.close();
      transport.lose(error);
    });
    return {
      transport,
      close: async () => {
        lost(new TransportError("the device's worker was closed"));
        await worker.terminate();
      },
    };
  } catch (error) {
    port1.close();
    await worker.terminate();
    throw error;
  }
}
