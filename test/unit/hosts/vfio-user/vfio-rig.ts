import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Device } from '../../../../src/device/device.ts';
import type { DeviceOptions } from '../../../../src/device/device-options.ts';
import type { DeviceType } from '../../../../src/device/device-type.ts';
import { BlockDevice } from '../../../../src/devices/block/device.ts';
import { VfioUserClient, type VfioUserClientOptions } from '../../../../src/hosts/vfio-user/client.ts';
import { header, type MessageHeader } from '../../../../src/hosts/vfio-user/messages.ts';
import { serveVfioUser, type VfioUserEvent, type VfioUserServer } from '../../../../src/hosts/vfio-user/server.ts';
import { GuestMemory } from '../../../../src/memory/guest-memory.ts';
import { MemoryDisk } from '../../../../src/storage/memory-disk.ts';
import { PciDevice } from '../../../../src/transports/pci/device.ts';
import { closeFd } from '../../../../src/unix/file-descriptor.ts';
import { whenReadable } from '../../../../src/unix/poller.ts';
import { UnixSocket } from '../../../../src/unix/socket.ts';

export interface VfioRigOptions {
  readonly type?: DeviceType;
  readonly vectors?: number;
  readonly device?: DeviceOptions;
}

/** A served function; a small disk by default. */
export class VfioRig {
  readonly folder: string = mkdtempSync(join(tmpdir(), 'virtio-vfio-'));
  readonly memory: GuestMemory = new GuestMemory();
  readonly device: Device;
  readonly fn: PciDevice;
  readonly server: VfioUserServer;
  readonly events: VfioUserEvent[] = [];
  readonly #clients: { close(): void }[] = [];

  constructor({ type, vectors = 2, device }: VfioRigOptions = {}) {
    this.device = new Device(
      type ?? new BlockDevice(new MemoryDisk({ capacitySectors: 2048 })),
      this.memory,
      device ?? {},
    );
    this.fn = new PciDevice(this.device, { vectors });
    this.server = this.serve();
  }

  /** Serves the function at another path. */
  serve(name = 'socket'): VfioUserServer {
    return serveVfioUser({
      path: join(this.folder, name),
      function: this.fn,
      memory: this.memory,
      onEvent: (event) => this.events.push(event),
    });
  }

  /** A driver's client; closed with the rig. */
  async openClient(options?: VfioUserClientOptions): Promise<VfioUserClient> {
    const client = await VfioUserClient.connect(this.server.path, options);
    this.#clients.push(client);
    return client;
  }

  /** A client that says what a test says. */
  connect(): RawClient {
    const client = new RawClient(UnixSocket.connect(this.server.path));
    this.#clients.push(client);
    return client;
  }

  async close(): Promise<void> {
    for (const client of this.#clients) client.close();
    await this.server.close();
    rmSync(this.folder, { recursive: true });
  }
}

export interface RawReply {
  readonly header: MessageHeader;
  readonly body: Uint8Array;
}

/** A client that sends any bytes, and reads replies. */
export class RawClient {
  readonly #socket: UnixSocket;
  #received: number[] = [];
  #ended = false;

  constructor(socket: UnixSocket) {
    this.#socket = socket;
  }

  /** What was sent; the rest of `bytes` had no room. */
  send(bytes: Uint8Array, fds: readonly number[] = []): number {
    return this.#socket.send(bytes, fds);
  }

  /** The next reply; undefined when the server has ended the connection. */
  async reply(): Promise<RawReply | undefined> {
    for (;;) {
      const reply = this.#take();
      if (reply !== undefined || this.#ended) return reply;
      await new Promise<void>((resolve) => {
        const poll = whenReadable(this.#socket.fd, () => {
          poll.close();
          resolve();
        });
      });
      this.#read();
    }
  }

  close(): void {
    this.#socket.close();
  }

  #read(): void {
    const bytes = new Uint8Array(65536);
    try {
      const result = this.#socket.receive(bytes);
      if (result === undefined) return;
      for (const fd of result.fds) closeFd(fd);
      if (result.count === 0) this.#ended = true;
      this.#received.push(...bytes.subarray(0, result.count));
    } catch {
      // Reset by the other side.
      this.#ended = true;
    }
  }

  #take(): RawReply | undefined {
    if (this.#received.length < header.bytes) return undefined;
    const head = header.read(new DataView(Uint8Array.from(this.#received.slice(0, header.bytes)).buffer));
    if (this.#received.length < head.size) return undefined;
    const body = Uint8Array.from(this.#received.slice(header.bytes, head.size));
    this.#received = this.#received.slice(head.size);
    return { header: head, body };
  }
}
