/**
 * Devices for virtual machines of other programs, over vhost-user, as QEMU and libblkio speak it; and drivers for devices of other
 * programs. Needs Linux.
 *
 *     const server = await serveVhostUser({ path: '/run/disk.sock', device: () => new BlockDevice(disk) });
 *     await server.status(); // connected, device status, counters
 *     await server.pause(); await server.continue();
 *     await server.close(); // drains
 */
export { VhostUserTransport, type VhostUserTransportOptions } from './driver-transport.ts';
export type {
  QueueStatus,
  ServerEvent,
  ServerStatus,
  VhostUserOptions,
  VhostUserServer,
} from './server.ts';
export { serveVhostUser } from './server.ts';
export type { ServedDevice, ServedDeviceMaker, VhostUserWorker, VhostUserWorkerOptions } from './worker.ts';
export { serveVhostUserInWorker } from './worker.ts';
