import { systemClock } from '../../device/clock.ts';
import type { DeviceOptions } from '../../device/device-options.ts';
import type { DeviceType } from '../../device/device-type.ts';
import { whenReadable } from '../../unix/poller.ts';
import { BackEnd } from './back-end.ts';

/** What is worth a line in a log. */
export type ServerEvent =
  | { readonly event: 'connected' }
  | { readonly event: 'disconnected'; readonly reason: string }
  /** A connection was not accepted. */
  | { readonly event: 'refused'; readonly reason: string }
  /** A message of the front-end's was not obeyed; it was told so. */
  | { readonly event: 'rejected'; readonly message: string; readonly reason: string }
  /** Requests that another back-end had taken, and not ended when it was gone, are done again. */
  | { readonly event: 'resumed'; readonly queue: number; readonly requests: number }
  /** The device went to DEVICE_NEEDS_RESET. */
  | { readonly event: 'failed'; readonly reason: string };

/** How a server is doing. Counters go up from its start. */
export interface ServerStatus {
  readonly connected: boolean;
  /** The device status field, as the driver sees it. */
  readonly status: number;
  readonly paused: boolean;
  /** Why the device is in DEVICE_NEEDS_RESET. */
  readonly failure: string | null;
  /** Buffers in processing. */
  readonly inFlight: number;
  /** Connections so far. */
  readonly sessions: number;
  /** Notifications from the guest, and to it. */
  readonly kicks: number;
  readonly interrupts: number;
  /** What the front-end shares. */
  readonly memory: { readonly regions: number; readonly bytes: number };
  readonly queues: readonly QueueStatus[];
}

export interface QueueStatus {
  /** Entries. */
  readonly size: number;
  readonly inUse: boolean;
  /** Buffers taken so far. */
  readonly served: number;
}

/** A device at a socket. Calls reject with what went wrong; after `close` with TransportError. */
export interface VhostUserServer {
  readonly path: string;
  status(): Promise<ServerStatus>;
  /** Brings the device to rest; the guest sees nothing but requests that take longer. See `Device.pause`. */
  pause(limitMs?: number): Promise<void>;
  continue(): Promise<void>;
  /** The state of the device, while it is suspended or paused. See `Device.save`. */
  save(): Promise<unknown>;
  /**
   * Takes a state over before a front-end connects, which says itself where the rings are and go on; as suspended or paused as it
   * was saved. A front-end that negotiates other features gets a device that is new. Rejects with StateError when it does not fit.
   */
  restore(state: unknown): Promise<void>;
  /** Ends the session once nothing is in processing any more, at most `limitMs`, 5 s if not said; then takes the path away. */
  close(limitMs?: number): Promise<void>;
}

export interface VhostUserOptions {
  /** Of the socket. What a process that is gone has left there is replaced. */
  readonly path: string;
  /** Makes the device type: called once. It serves one front-end after the other, and is reset in between. */
  readonly device: () => DeviceType;
  /** RING_PACKED is offered unless withheld. */
  readonly deviceOptions?: DeviceOptions;
  readonly onEvent?: (event: ServerEvent) => void;
}

/**
 * Serves a device on this thread's event loop: for device types that work with promises, and for many devices that have little
 * to do. `serveVhostUserInWorker` has a thread of its own, and is faster. Rejects with TransportError when the path cannot be
 * listened at. The process stays alive until `close`.
 */
export function serveVhostUser(options: VhostUserOptions): Promise<VhostUserServer> {
  return Promise.resolve().then(() => {
    const backEnd = new BackEnd({
      path: options.path,
      type: options.device(),
      device: options.deviceOptions ?? {},
      clock: options.deviceOptions?.clock ?? systemClock,
      onEvent: options.onEvent ?? (() => {}),
    });
    const watch = whenReadable(backEnd.poller.fd, () => backEnd.turn(0));
    return new LocalServer(options.path, backEnd, () => watch.close());
  });
}

/** A back-end in this thread. */
export class LocalServer implements VhostUserServer {
  readonly path: string;
  readonly #backEnd: BackEnd;
  readonly #ended: () => void | Promise<void>;
  #closed = false;

  /** `ended` is called before the back-end is closed: nobody is to look at it any more when it is done. */
  constructor(path: string, backEnd: BackEnd, ended: () => void | Promise<void>) {
    this.path = path;
    this.#backEnd = backEnd;
    this.#ended = ended;
  }

  async status(): Promise<ServerStatus> {
    return this.#backEnd.status;
  }

  async pause(limitMs?: number): Promise<void> {
    await this.#backEnd.device.pause(limitMs);
  }

  async continue(): Promise<void> {
    this.#backEnd.device.continue();
  }

  async save(): Promise<unknown> {
    return this.#backEnd.device.save();
  }

  async restore(state: unknown): Promise<void> {
    this.#backEnd.restore(state);
  }

  async close(limitMs: number = CLOSE_LIMIT_MS): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    try {
      // What is in processing ends in the guest's sight.
      if (!this.#backEnd.device.paused) await this.#backEnd.device.pause(limitMs);
    } finally {
      await this.#ended();
      this.#backEnd.close();
      this.#backEnd.device.continue();
    }
  }
}

const CLOSE_LIMIT_MS = 5000;
