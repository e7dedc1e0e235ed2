import { Device } from '../../device/device.ts';
import type { DeviceType } from '../../device/device-type.ts';
import { serveVfioUser, type VfioUserEvent } from '../../hosts/vfio-user/server.ts';
import { GuestMemory } from '../../memory/guest-memory.ts';
import { Feature } from '../../spec/features.ts';
import { describeStatus } from '../../spec/status.ts';
import { PciDevice } from '../../transports/pci/device.ts';
import { requireWritable } from '../output-file.ts';
import type { DiskServer, DiskServerOptions } from './disk-server.ts';
import { openImage, type ServedImage } from './open-disk.ts';
import type { FunctionTrace } from './trace-file.ts';

const CLOSE_LIMIT_MS = 5000;

export async function serveOverVfioUser(options: DiskServerOptions): Promise<DiskServer> {
  const { socket, image, queues, onEvent } = options;
  const served = await openImage(options, ({ event, ...details }) => onEvent(event, details));
  const trace = await beginTrace(options, served.type).catch(closeServed(served));
  const memory = new GuestMemory();
  const device = new Device(trace?.type ?? served.type, memory, { offer: [Feature.RING_PACKED] });
  const plain = new PciDevice(device, { vectors: 1 + queues });
  const counts = { kicks: 0, interrupts: 0 };
  device.observer = {
    kicked: () => counts.kicks++,
    usedNotified: () => counts.interrupts++,
    failed: (error) => onEvent('failed', { reason: error.message }),
  };
  const fn = trace?.record(plain, device, memory) ?? plain;
  const told = (event: VfioUserEvent): void => {
    if (event.kind === 'reset') trace?.reset();
    tell(event, onEvent);
  };
  const server = await Promise.resolve()
    .then(() => serveVfioUser({ path: socket, function: fn, memory, onEvent: told }))
    .catch((error: unknown) => {
      trace?.close();
      return closeServed(served)(error);
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
        const { connected } = server.status;
        await server.close();
        // As over vhost-user, which says so itself.
        if (connected) onEvent('disconnected', { reason: 'the server is closed' });
        await served.close();
        trace?.close();
      }
    },
  };
}

/** Loaded where it is wanted. Rejects with TransportError. */
async function beginTrace(options: DiskServerOptions, type: DeviceType): Promise<FunctionTrace | undefined> {
  const { trace, image, onEvent } = options;
  if (trace === undefined) return undefined;
  await requireWritable(trace, [{ path: image }]);
  const { traceFunction } = await import('./trace-file.ts');
  return traceFunction(trace, type, (error) => onEvent('trace-failed', { file: trace, reason: error.message }));
}

/** What failed after the image was opened. */
function closeServed(served: ServedImage): (error: unknown) => Promise<never> {
  return async (error) => {
    await served.close();
    throw error;
  };
}

function tell(event: VfioUserEvent, onEvent: DiskServerOptions['onEvent']): void {
  if (event.kind === 'disconnected') onEvent(event.kind, { reason: event.error?.message ?? 'closed by the client' });
  else if (event.kind === 'refused') onEvent(event.kind, { reason: event.reason });
  else onEvent(event.kind);
}
