import { createServer, type Server } from 'node:http';
import { Counter, Gauge, Registry } from 'prom-client';
import type { DiskServer, DiskServerStatus } from './disk-server.ts';
import { listenLocally } from './local-listener.ts';

/** The metrics of a disk server, in Prometheus' text format. */
export class DiskMetrics {
  readonly #registry = new Registry();
  readonly #disk: DiskServer;
  readonly #gauges: Readonly<Record<string, readonly [Gauge, (status: DiskServerStatus) => number]>>;
  readonly #counters: Readonly<Record<string, readonly [Counter, (status: DiskServerStatus) => number]>>;
  readonly #requests: Counter;
  readonly #bytes: Counter;

  constructor(disk: DiskServer) {
    this.#disk = disk;
    const registers = [this.#registry];
    const gauge = (name: string, help: string): Gauge => new Gauge({ name, help, registers });
    const counter = (name: string, help: string, ...labelNames: string[]): Counter =>
      new Counter({ name, help, labelNames, registers });
    this.#gauges = {
      connected: [
        gauge('virtio_connected', 'Whether a virtual machine is connected.'),
        ({ connected }) => Number(connected),
      ],
      paused: [gauge('virtio_paused', 'Whether the device is paused by its host.'), ({ paused }) => Number(paused)],
      failed: [gauge('virtio_failed', 'Whether the device needs a reset.'), ({ failure }) => Number(failure !== null)],
      inFlight: [gauge('virtio_in_flight', 'Buffers in processing.'), ({ inFlight }) => inFlight],
      memory: [gauge('virtio_guest_memory_bytes', 'Memory that the guest shares.'), ({ memoryBytes }) => memoryBytes],
      size: [gauge('virtio_disk_size_bytes', 'Size of the disk.'), ({ disk: { bytes } }) => bytes],
    };
    this.#counters = {
      sessions: [counter('virtio_sessions_total', 'Connections so far.'), ({ sessions }) => sessions],
      kicks: [counter('virtio_kicks_total', 'Notifications by the guest.'), ({ kicks }) => kicks],
      interrupts: [counter('virtio_interrupts_total', 'Notifications to the guest.'), ({ interrupts }) => interrupts],
      errors: [
        counter('virtio_disk_errors_total', 'Requests that the disk could not do.'),
        ({ disk: { errors } }) => errors,
      ],
    };
    this.#requests = counter('virtio_disk_requests_total', 'Requests to the disk.', 'operation');
    this.#bytes = counter('virtio_disk_bytes_total', 'Bytes of requests to the disk.', 'operation');
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  async text(): Promise<string> {
    const status = await this.#disk.status();
    for (const [gauge, value] of Object.values(this.#gauges)) gauge.set(value(status));
    for (const [counter, value] of Object.values(this.#counters)) setTo(counter, value(status));
    this.#requests.reset();
    this.#bytes.reset();
    for (const [operation, { requests, bytes }] of Object.entries(status.disk.counts)) {
      this.#requests.inc({ operation }, requests);
      this.#bytes.inc({ operation }, bytes);
    }
    return this.#registry.metrics();
  }
}

/** What is counted elsewhere is taken over as it is. */
function setTo(counter: Counter, value: number): void {
  counter.reset();
  counter.inc(value);
}

/** Serves `/metrics` at a port of this machine or a Unix socket. Throws TransportError when it cannot be had. */
export async function serveMetrics(at: string | number, disk: DiskServer): Promise<{ close(): void }> {
  const metrics = new DiskMetrics(disk);
  const server: Server = createServer((request, response) => {
    if (request.method !== 'GET' || request.url !== '/metrics') {
      response.writeHead(404).end('there is /metrics\n');
      return;
    }
    metrics.text().then(
      (text) => response.writeHead(200, { 'Content-Type': metrics.contentType }).end(text),
      (error: Error) => response.writeHead(500).end(`${error.message}\n`),
    );
  });
  await listenLocally(server, at);
  return {
    close: () => {
      server.close();
      server.closeAllConnections();
    },
  };
}
