import { get } from 'node:http';
import { afterEach, expect } from 'vitest';
import { BlockDriver } from '../../src/devices/block/driver.ts';
import { VfioUserClient } from '../../src/hosts/vfio-user/client.ts';
import type { ClientMemory } from '../../src/hosts/vfio-user/client-memory.ts';
import { VhostUserTransport } from '../../src/hosts/vhost-user/driver-transport.ts';
import { GuestAllocator } from '../../src/memory/allocator.ts';
import { DeviceId } from '../../src/spec/device-ids.ts';
import { PciDriverTransport } from '../../src/transports/pci/driver.ts';
import { type Running, start, virtio, workFolder } from './virtio.ts';

export const PROTOCOLS = ['vhost-user', 'vfio-user'] as const;
export type Protocol = (typeof PROTOCOLS)[number];
export const IMAGE_BYTES: number = 1 << 20;

/** Of the test file that imports this. */
export const folder: ReturnType<typeof workFolder> = workFolder();
let names = 0;
/** Done after each test, the last one first. */
export const cleanUp: (() => void)[] = [];
afterEach(() => {
  for (const action of cleanUp.splice(0).reverse()) action();
});

export interface Served {
  readonly server: Running;
  readonly image: string;
  readonly socket: string;
  readonly control: string;
  readonly metrics: string;
}

/** A name in `folder` that nobody has had. */
export function freshName(what: string): string {
  return `${what}-${names++}`;
}

/** Paths of a server that is not started yet. */
export function places(): Omit<Served, 'server'> {
  const name = freshName('');
  const [socket, control, metrics] = ['socket', 'control', 'metrics'].map((what) => folder.path(`${what}${name}`));
  return { image: folder.image(`disk${name}`, IMAGE_BYTES), socket: socket!, control: control!, metrics: metrics! };
}

export function argumentsOf(protocol: Protocol, { image, socket, control, metrics }: Omit<Served, 'server'>): string[] {
  const own = ['--control', control, '--metrics', metrics];
  return ['serve', 'block', '--image', image, `--${protocol}`, socket, ...own];
}

export async function serve(protocol: Protocol, at = places(), more: readonly string[] = []): Promise<Served> {
  const server = start([...argumentsOf(protocol, at), ...more]);
  await server.says(/"event":"listening"/);
  return { server, ...at };
}

/** Our driver in front of a server. */
export async function drive(protocol: Protocol, socket: string, shared?: ClientMemory): Promise<BlockDriver> {
  const [transport, memory, close] = await open(protocol, socket, shared);
  cleanUp.push(close);
  const driver = new BlockDriver(transport, new GuestAllocator(memory, 0x1000, 1 << 20));
  await driver.initialize();
  return driver;
}

async function open(protocol: Protocol, path: string, shared?: ClientMemory) {
  if (protocol === 'vhost-user') {
    const transport = await VhostUserTransport.open({ path, deviceId: DeviceId.BLOCK });
    return [transport, transport.memory, () => transport.close()] as const;
  }
  const client = await VfioUserClient.connect(path, shared === undefined ? {} : { memory: shared });
  return [await PciDriverTransport.open(client), client.memory, () => client.close()] as const;
}

export async function asked(command: string, ...args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await virtio([command, ...args]);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  return stdout;
}

export async function status(control: string): Promise<Record<string, unknown>> {
  return JSON.parse(await asked('status', control, '--json')) as Record<string, unknown>;
}

export function events({ server }: Served): string[] {
  return server.stdout
    .trimEnd()
    .split('\n')
    .map((line) => (JSON.parse(line) as { event: string }).event);
}

/** What an HTTP server says, at a Unix socket or a port of this machine. */
export function ask(at: string | number, path: string): Promise<{ code: number | undefined; body: string }> {
  const where = typeof at === 'string' ? { socketPath: at } : { host: '127.0.0.1', port: at };
  return new Promise((resolve, reject) => {
    get({ ...where, path, agent: false }, (response) => {
      let body = '';
      response.on('data', (bytes) => (body += bytes)).on('end', () => resolve({ code: response.statusCode, body }));
    }).on('error', reject);
  });
}

/** What is served to Prometheus, by name and labels. */
export async function scrape(at: string | number): Promise<ReadonlyMap<string, number>> {
  const { code, body: text } = await ask(at, '/metrics');
  expect(code).toBe(200);
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  return new Map(
    lines.map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ')))]),
  );
}
