import { Device } from '../../device/device.ts';
import { serveVfioUser, type VfioUserEvent } from '../../hosts/vfio-user/server.ts';
import type { ServerEvent } from '../../hosts/vhost-user/server.ts';
import { serveVhostUserInWorker } from '../../hosts/vhost-user/worker.ts';
import { GuestMemory } from '../../memory/guest-memory.ts';
import { Feature } from '../../spec/features.ts';
import { describeStatus } from '../../spec/status.ts';
import { PciDevice } from '../../transports/pci/device.ts';
import { type DiskState, type ImageEvent, type ImageOptions, openImage } from './open-disk.ts';

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
  /** Something happened that is worth a line in a log. */
  readonly onEvent: (event: string, details?: Readonly<Record<string, unknown>>) => void;
  /** Nothing is served any more, though nobody has closed it. */
  readonly onLost: (error: Error) => void;
}

const CLOSE_LIMIT_MS = 5000;

export function serveDisk(options: DiskServerOptions): Promise<DiskServer> {
  return options.protocol === 'vhost-user' ? serveOverVhostUser(options) : serveOverVfioUser(options);
}

async function serveOverVhostUser(options: DiskServerOptions): Promise<DiskServer> {
  const { socket, image, readOnly, access, shared, queues, pollUs, onEvent, onLost } = options;
  const server = await serveVhostUserInWorker({
    path: socket,
    module: new URL('./vhost-image.js', import.meta.url),
    options: { image, readOnly, access, shared, queues } satisfies ImageOptions,
    ...(pollUs === undefined ? {} : { pollUs }),
    onEvent: ({ event, ...details }: ServerEvent) => onEvent(event, details),
    onTold: (what) => tellOfImage(what as ImageEvent, onEvent),
    onLost,
  });
  return {
    status: async () => {
      const { memory, queues: _, status, ...rest } = await server.status();
      const disk = (await server.command('disk')) as DiskState;
      const fixed = { protocol: options.protocol, socket, image };
      return { ...fixed, ...rest, status: describeStatus(status), memoryBytes: memory.bytes, disk };
    },
    pause: () => server.pause(),
    continue: () => server.continue(),
    save: () => server.save(),
    restore: (state) => server.restore(state),
    resize: async (bytes) => void (await server.command('resize', bytes)),
    close: () => server.close(),
  };
}

async function serveOverVfioUser(options: DiskServerOptions): Promise<DiskServer> {
  const { socket, image, queues, onEvent } = options;
  const served = await openImage(options, (event) => tellOfImage(event, onEvent));
  const memory = new GuestMemory();
  const device = new Device(served.type, memory, { offer: [Feature.RING_PACKED] });
  const fn = new PciDevice(device, { vectors: 1 + queues });
  const counts = { kicks: 0, interrupts: 0 };
  device.observer = {
    kicked: () => counts.kicks++,
    usedNotified: () => counts.interrupts++,
    failed: (error) => onEvent('failed', { reason: error.message }),
  };
  const server = await Promise.resolve()
    .then(() => serveVfioUser({ path: socket, function: fn, memory, onEvent: (event) => tell(event, onEvent) }))
    .catch(async (error: unknown) => {
      await served.close();
      throw error;
    });
  return {
    status: async () => {
      const { connected, sessions, mappedBytes } = server.status;
      return {
        ...{ protocol: options.protocol, socket, image, connected, sessions },
        status: describeStatus(device.status),
        paused: device.paused,
        failure: device.failure?.message ?? null,
        inFlight: device.inFlight,
        ...counts,
        memoryBytes: mappedBytes,
        disk: served.disk(),
      };
    },
    pause: () => device.pause(),
    continue: async () => device.continue(),
    save: async () => fn.save(),
    restore: async (state) => fn.restore(state),
    resize: (bytes) => served.resize(bytes),
    close: async () => {
      try {
        // What is in processing ends in the guest's sight, as over vhost-user.
        if (!device.paused) await device.pause(CLOSE_LIMIT_MS);
      } finally {
        await server.close();
        await served.close();
      }
    },
  };
}

function tellOfImage({ event, ...details }: ImageEvent, onEvent: DiskServerOptions['onEvent']): void {
  onEvent(event, details);
}

function tell(event: VfioUserEvent, onEvent: DiskServerOptions['onEvent']): void {
  if (event.kind === 'disconnected') onEvent(event.kind, { reason: event.error?.message ?? 'closed by the client' });
  else if (event.kind === 'refused') onEvent(event.kind, { reason: event.reason });
  else onEvent(event.kind);
}
