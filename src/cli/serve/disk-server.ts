import type { DiskState, ImageOptions } from './open-disk.ts';

export type Protocol = 'vhost-user' | 'vfio-user';

/** How a served disk is doing, as plain values. Counters go up from the start of the server. */
export interface DiskServerStatus {
  readonly protocol: Protocol;
  readonly socket: string;
  readonly image: string;
  readonly connected: boolean;
  readonly sessions: number;
  /** The device status field, in words. */
  readonly status: string;
  readonly paused: boolean;
  readonly failure: string | null;
  readonly inFlight: number;
  /** Notifications by the guest, and to it. */
  readonly kicks: number;
  readonly interrupts: number;
  readonly memoryBytes: number;
  readonly disk: DiskState;
}

/** A disk at a socket, over either protocol. */
export interface DiskServer {
  status(): Promise<DiskServerStatus>;
  pause(): Promise<void>;
  continue(): Promise<void>;
  /** The state of the device, once it is suspended or paused. */
  save(): Promise<unknown>;
  restore(state: unknown): Promise<void>;
  resize(bytes: number): Promise<void>;
  /** Lets what is in processing end, for 5 s at most, then closes socket and image. Rejects when it did not end. */
  close(): Promise<void>;
}

export interface DiskServerOptions extends ImageOptions {
  readonly protocol: Protocol;
  readonly socket: string;
  /** Only for vhost-user; its default otherwise. */
  readonly pollUs: number | undefined;
  /** Only for vfio-user: a file for what its driver and the device do. */
  readonly trace: string | undefined;
  /** Something happened that is worth a line in a log. */
  readonly onEvent: (event: string, details?: Readonly<Record<string, unknown>>) => void;
  /** Nothing is served any more, though nobody has closed it. */
  readonly onLost: (error: Error) => void;
}

/** Loads what this protocol needs, and not the other: a server keeps all that it has loaded in memory. */
export async function serveDisk(options: DiskServerOptions): Promise<DiskServer> {
  return options.protocol === 'vhost-user'
    ? (await import('./over-vhost-user.ts')).serveOverVhostUser(options)
    : (await import('./over-vfio-user.ts')).serveOverVfioUser(options);
}
