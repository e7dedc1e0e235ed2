import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'vitest';
import type { DeviceType } from '../../../src/device/device-type.ts';
import type { DriverTransport } from '../../../src/driver/transport.ts';
import { VfioUserClient } from '../../../src/hosts/vfio-user/client.ts';
import { ClientMemory } from '../../../src/hosts/vfio-user/client-memory.ts';
import { VhostUserTransport } from '../../../src/hosts/vhost-user/driver-transport.ts';
import { serveVhostUser } from '../../../src/hosts/vhost-user/server.ts';
import type { GuestMemory } from '../../../src/memory/guest-memory.ts';
import { DeviceId } from '../../../src/spec/device-ids.ts';
import { type FeatureSet, hasFeature } from '../../../src/spec/features.ts';
import { Status } from '../../../src/spec/status.ts';
import { PciDriverTransport } from '../../../src/transports/pci/driver.ts';
import type { RawQueue } from '../../support/raw-queue.ts';
import { VfioRig } from './vfio-user/vfio-rig.ts';

export const protocols = ['vhost-user', 'vfio-user'] as const;
export type Protocol = (typeof protocols)[number];

/** A device behind a socket, whose driver is the test. */
export class DrivenOverSocket {
  readonly transport: DriverTransport;
  readonly memory: GuestMemory;
  /** Why the device is in DEVICE_NEEDS_RESET. */
  readonly failure: () => Promise<string | null>;
  readonly close: () => Promise<void>;

  private constructor(transport: DriverTransport, more: Pick<DrivenOverSocket, 'memory' | 'failure' | 'close'>) {
    this.transport = transport;
    this.memory = more.memory;
    this.failure = more.failure;
    this.close = more.close;
  }

  static async open(protocol: Protocol, type: DeviceType, memoryBytes: number): Promise<DrivenOverSocket> {
    return protocol === 'vhost-user' ? await overVhost(type, memoryBytes) : await overVfio(type, memoryBytes);
  }

  static of(
    transport: DriverTransport,
    more: Pick<DrivenOverSocket, 'memory' | 'failure' | 'close'>,
  ): DrivenOverSocket {
    return new DrivenOverSocket(transport, more);
  }

  /** Initialises the device with one queue. */
  async start(queue: RawQueue, features: FeatureSet): Promise<void> {
    const { transport } = this;
    await transport.writeStatus(0);
    await transport.writeStatus(Status.ACKNOWLEDGE);
    await transport.writeStatus(Status.ACKNOWLEDGE | Status.DRIVER);
    const offered = await transport.readFeatures();
    for (let bit = 0; bit < 64; bit++) if (hasFeature(features, bit)) expect(hasFeature(offered, bit)).toBe(true);
    await transport.writeFeatures(features);
    await transport.writeStatus(Status.ACKNOWLEDGE | Status.DRIVER | Status.FEATURES_OK);
    await transport.enableQueue(0, queue.layout);
    await transport.writeStatus(0x0f);
    expect(await transport.readStatus()).toBe(0x0f);
  }

  /** Kicks, and waits until so many buffers are used in all. */
  async used(queue: RawQueue, count: number): Promise<void> {
    this.transport.kick(0);
    await expect.poll(() => queue.usedIndex, { interval: 1 }).toBe(count & 0xffff);
  }

  /** Kicks, and waits for DEVICE_NEEDS_RESET; for what. */
  async failed(): Promise<string> {
    this.transport.kick(0);
    await expect.poll(() => this.transport.readStatus(), { interval: 1 }).toBe(0x4f);
    return (await this.failure())!;
  }
}

async function overVhost(type: DeviceType, memoryBytes: number): Promise<DrivenOverSocket> {
  const folder = mkdtempSync(join(tmpdir(), 'virtio-sockets-'));
  const path = join(folder, 'socket');
  const server = await serveVhostUser({ path, device: () => type });
  const transport = await VhostUserTransport.open({ path, deviceId: DeviceId.BLOCK, memoryBytes });
  return DrivenOverSocket.of(transport, {
    memory: transport.memory,
    failure: async () => (await server.status()).failure,
    close: async () => {
      transport.close();
      await server.close(100).catch(() => {});
      rmSync(folder, { recursive: true });
    },
  });
}

async function overVfio(type: DeviceType, memoryBytes: number): Promise<DrivenOverSocket> {
  const rig = new VfioRig({ type });
  const memory = new ClientMemory(memoryBytes);
  const client = await VfioUserClient.connect(rig.server.path, { memory });
  return DrivenOverSocket.of(await PciDriverTransport.open(client), {
    memory: memory.memory,
    failure: async () => rig.device.failure?.message ?? null,
    close: async () => {
      client.close();
      await rig.close();
      memory.release();
    },
  });
}
