import { MessageChannel, type MessagePort, Worker } from 'node:worker_threads';
import type { DeviceType } from '../../device/device-type.ts';
import { TransportError } from '../../spec/fault.ts';
import { Feature } from '../../spec/features.ts';
import { EventFd } from '../../unix/event-fd.ts';
import type { ServerEvent, ServerStatus, VhostUserServer } from './server.ts';
import type { WorkerMessage, WorkerOrder, WorkerStart } from './worker-messages.ts';

/** What is behind a socket, made by a module in the worker. */
export interface ServedDevice {
  readonly type: DeviceType;
  /** What `VhostUserWorker.command` can call, by name. Arguments and results have to be clonable. */
  readonly commands?: Readonly<Record<string, (...args: never[]) => unknown>>;
  /** Called when the server was closed. */
  close?(): Promise<void>;
}

/** What the module exports by default. It may `tell` what has to be known outside: anything that can be cloned. */
export type ServedDeviceMaker = (options: never, tell: (what: unknown) => void) => ServedDevice | Promise<ServedDevice>;

export interface VhostUserWorkerOptions {
  readonly path: string;
  /** The JavaScript module with the device; see `ServedDeviceMaker`. */
  readonly module: URL;
  /** Handed to the module; has to be clonable. */
  readonly options?: unknown;
  /** As in `DeviceOptions`. RING_PACKED is offered unless withheld. */
  readonly withhold?: readonly number[];
  readonly offer?: readonly number[];
  readonly suspendLimitMs?: number;
  /**
   * How long the thread looks for requests, at most, before it sleeps until it is kicked: 50 microseconds. It takes a
   * processor while there is something to do, and makes requests several times faster. 0 is not at all.
   */
  readonly pollUs?: number;
  readonly onEvent?: (event: ServerEvent) => void;
  /** What the module tells. */
  readonly onTold?: (what: unknown) => void;
  /** The thread has ended without being asked to: nothing is served any more. */
  readonly onLost?: (error: Error) => void;
}

export interface VhostUserWorker extends VhostUserServer {
  /** Calls one of the module's commands. */
  command(name: string, ...args: readonly unknown[]): Promise<unknown>;
}

const POLL_US = 50;

/**
 * Serves a device from a thread of its own, which waits for nothing else: the fast way. A disk that answers within `submit` is
 * what it is made for; others work, too, from the thread's event loop. Rejects with TransportError when the module does not
 * load or the path cannot be listened at. The process stays alive until `close`.
 */
export async function serveVhostUserInWorker(options: VhostUserWorkerOptions): Promise<VhostUserWorker> {
  const { port1, port2 } = new MessageChannel();
  const wake = EventFd.create();
  const start: WorkerStart = {
    path: options.path,
    module: options.module.href,
    options: options.options,
    withhold: options.withhold ?? [],
    offer: options.offer ?? [Feature.RING_PACKED],
    suspendLimitMs: options.suspendLimitMs,
    pollUs: options.pollUs ?? POLL_US,
    wakeFd: wake.fd,
  };
  const worker = new Worker(new URL('./worker-thread.js', import.meta.url), {
    workerData: { start, port: port2 },
    transferList: [port2],
    // Descriptors come from sockets, not from Node, which would warn of each that is closed.
    trackUnmanagedFds: false,
  });
  const { onEvent = () => {}, onTold = () => {}, onLost = () => {} } = options;
  const server = new WorkerServer(options.path, worker, port1, wake, { onEvent, onTold, onLost });
  await server.ready;
  return server;
}

/** Those whose threads run; one listener for all, as there may be many. */
const alive = new Set<WorkerServer>();
process.on('exit', () => {
  for (const server of alive) server.leave();
});

interface Pending {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
}

class WorkerServer implements VhostUserWorker {
  readonly path: string;
  /** Resolves when the socket is there. */
  readonly ready: Promise<void>;
  readonly #worker: Worker;
  readonly #port: MessagePort;
  readonly #wake: EventFd;
  readonly #pending = new Map<number, Pending>();
  readonly #onLost: (error: Error) => void;
  #isServing = false;
  #next = 0;
  #lost: Error | undefined;

  constructor(
    path: string,
    worker: Worker,
    port: MessagePort,
    wake: EventFd,
    { onEvent, onTold, onLost }: Required<Pick<VhostUserWorkerOptions, 'onEvent' | 'onTold' | 'onLost'>>,
  ) {
    this.path = path;
    this.#worker = worker;
    this.#port = port;
    this.#wake = wake;
    this.#onLost = onLost;
    alive.add(this);
    this.ready = new Promise((resolve, reject) => {
      const serve = (): void => {
        this.#isServing = true;
        resolve();
      };
      this.#pending.set(this.#next++, { resolve: serve, reject });
    });
    port.on('message', (message: WorkerMessage) => {
      if (message.kind === 'ready') this.#settle(0, ({ resolve }) => resolve(undefined));
      else if (message.kind === 'event') onEvent(message.event);
      else if (message.kind === 'told') onTold(message.what);
      else if (message.kind === 'answer') this.#settle(message.id, ({ resolve }) => resolve(message.value));
      else this.#settle(message.id, ({ reject }) => reject(message.error));
    });
    worker.once('error', (error: Error) => {
      this.#lose(new TransportError(`the worker at ${path} failed: ${error.message}`, { cause: error }));
    });
    worker.once('exit', () => this.#lose(new TransportError(`the server at ${path} has ended`)));
  }

  /** A thread in a foreign call is not ended by the end of the process: it has to come back from it, and not go there again. */
  leave(): void {
    this.#port.postMessage({ kind: 'leave' } satisfies WorkerOrder);
    this.#wake.signal();
  }

  async status(): Promise<ServerStatus> {
    return (await this.#call('status')) as ServerStatus;
  }

  async pause(limitMs?: number): Promise<void> {
    await this.#call('pause', limitMs);
  }

  async continue(): Promise<void> {
    await this.#call('continue');
  }

  async save(): Promise<unknown> {
    return await this.#call('save');
  }

  async restore(state: unknown): Promise<void> {
    await this.#call('restore', state);
  }

  async command(name: string, ...args: readonly unknown[]): Promise<unknown> {
    return await this.#call(name, ...args);
  }

  async close(limitMs?: number): Promise<void> {
    if (this.#lost !== undefined) return;
    this.#isServing = false;
    const ended = new Promise<void>((resolve) => this.#worker.once('exit', () => resolve()));
    try {
      await this.#call('close', limitMs);
    } finally {
      if (this.#lost === undefined) this.#wake.signal();
      void this.#worker.terminate();
      await ended;
    }
  }

  #call(name: string, ...args: readonly unknown[]): Promise<unknown> {
    return new Promise((resolve, reject) => {
      if (this.#lost !== undefined) {
        reject(this.#lost);
        return;
      }
      const id = this.#next++;
      this.#pending.set(id, { resolve, reject });
      this.#port.postMessage({ kind: 'call', id, name, args } satisfies WorkerOrder);
      this.#wake.signal();
    });
  }

  #settle(id: number, how: (pending: Pending) => void): void {
    const pending = this.#pending.get(id);
    this.#pending.delete(id);
    if (pending !== undefined) how(pending);
  }

  #lose(error: Error): void {
    if (this.#lost !== undefined) return;
    this.#lost = error;
    for (const { reject } of this.#pending.values()) reject(error);
    this.#pending.clear();
    alive.delete(this);
    this.#port.close();
    this.#wake.close();
    if (this.#isServing) this.#onLost(error);
  }
}
