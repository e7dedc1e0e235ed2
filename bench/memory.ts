import { spawn } from 'node:child_process';
import { closeSync, ftruncateSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { BlockDriver } from 'virtio-ts/devices/block';
import { VfioUserClient } from 'virtio-ts/hosts/vfio-user';
import { VhostUserTransport } from 'virtio-ts/hosts/vhost-user';
import { GuestAllocator } from 'virtio-ts/memory';
import { DeviceId } from 'virtio-ts/spec';
import { PciDriverTransport } from 'virtio-ts/transports/pci';
import { type Resident, resident } from './resident.ts';
import { atMost, measured, type Row } from './row.ts';

const IMAGE_BYTES = 256 << 20;
const REQUEST_BYTES = 4096;
const LARGE_BYTES = 128 << 10;
const READS = 2000;
const AT_ONCE = 32;
const DEVICES = 64;
/** Without a request, before it is looked at. */
const IDLE_MS = 2000;
/** Processes for each figure, of which the largest counts. */
const ROUNDS = 3;
const ONE_MB = 80;
const ALL_MB = 200;

type Protocol = 'vhost-user' | 'vfio-user';
const PROTOCOLS: readonly Protocol[] = ['vhost-user', 'vfio-user'];

/** A front-end of ours, in this process, and its driver. */
interface Driven {
  readonly driver: BlockDriver;
  close(): void;
}

/**
 * RAM that servers have which do nothing, after a driver in another process has used each device and is still connected. See
 * `Resident` for what is counted.
 */
export async function memorySuite(): Promise<Row[]> {
  const rows: Row[] = [];
  const add = (name: string, { own, anonymous }: Resident, most?: number): void => {
    const row = ['memory', name, 'MB', own / 1e6] as const;
    rows.push(most === undefined ? measured(...row) : atMost(...row, most));
    rows.push(measured('memory', `${name}: of it in no file`, 'MB', anonymous / 1e6));
  };
  for (const protocol of PROTOCOLS)
    add(`idle server with one disk, ${protocol}`, await largest(oneDisk, protocol), ONE_MB);
  add('idle server with one disk, vhost-user, --mapped', await largest(oneDisk, 'vhost-user', ['--mapped']));
  for (const protocol of PROTOCOLS) {
    const devices = await largest(manyDevices, protocol, protocol);
    add(`${DEVICES} idle devices in one process, ${protocol}`, devices, ALL_MB);
  }
  const threads = await manyDevices('vhost-user', 'threads');
  add(`${DEVICES} idle devices in one process, vhost-user, a thread each`, threads);
  return rows;
}

async function largest<Arguments extends readonly unknown[]>(
  measure: (...args: Arguments) => Promise<Resident>,
  ...args: Arguments
): Promise<Resident> {
  let found: Resident = { own: 0, anonymous: 0 };
  for (let round = 0; round < ROUNDS; round++) {
    const next = await measure(...args);
    if (next.own > found.own) found = next;
  }
  return found;
}

/** `virtio serve block`, as a user starts it. */
function oneDisk(protocol: Protocol, options: readonly string[] = []): Promise<Resident> {
  return inFolder(async (folder) => {
    const [image, socket] = [join(folder, 'image'), join(folder, 'socket')];
    writeFileSync(image, Buffer.alloc(IMAGE_BYTES, 1));
    const cli = fileURLToPath(new URL('../../cli/main.js', import.meta.url));
    const args = ['serve', 'block', '--image', image, `--${protocol}`, socket, ...options];
    return served([cli, ...args], [image], async () => {
      const driven = await drive(protocol, socket);
      for (let n = 0; n < READS; n++) await driven.driver.read(n * (REQUEST_BYTES / 512), REQUEST_BYTES);
      const bytes = new Uint8Array(LARGE_BYTES).fill(2);
      const sectors = Array.from({ length: AT_ONCE }, (_, n) => n * (LARGE_BYTES / 512));
      await Promise.all(sectors.map((sector) => driven.driver.write(sector, bytes)));
      await Promise.all(sectors.map((sector) => driven.driver.read(sector, LARGE_BYTES)));
      await driven.driver.flush();
      return [driven];
    });
  });
}

function manyDevices(protocol: Protocol, kind: string): Promise<Resident> {
  return inFolder(async (folder) => {
    const numbers = Array.from({ length: DEVICES }, (_, n) => n);
    const images = numbers.map((n) => join(folder, `image-${n}`));
    for (const image of images) emptyImage(image);
    const program = fileURLToPath(new URL('./idle-devices.js', import.meta.url));
    return served([program, kind, folder, String(DEVICES)], images, async () => {
      const all: Driven[] = [];
      for (const n of numbers) {
        const driven = await drive(protocol, join(folder, `socket-${n}`));
        await driven.driver.write(n, new Uint8Array(REQUEST_BYTES).fill(n));
        const [byte] = await driven.driver.read(n, REQUEST_BYTES);
        if (byte !== n) throw new Error(`device ${n} reads ${byte}`);
        all.push(driven);
      }
      return all;
    });
  });
}

/** Starts a process that says when it is listening, and measures it some time after `use` has driven it. */
async function served(
  args: readonly string[],
  images: readonly string[],
  use: () => Promise<readonly Driven[]>,
): Promise<Resident> {
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  try {
    await new Promise<void>((resolve, reject) => {
      child.stdout.on('data', (text) => String(text).includes('listening') && resolve());
      child.once('exit', () => reject(new Error(`${args.join(' ')} has ended`)));
    });
    const driven = await use();
    await new Promise((resolve) => setTimeout(resolve, IDLE_MS));
    const found = resident(child.pid!, images);
    for (const each of driven) each.close();
    return found;
  } finally {
    child.kill();
    await ended;
  }
}

async function drive(protocol: Protocol, path: string): Promise<Driven> {
  const { transport, memory, close } = await open(protocol, path);
  const driver = new BlockDriver(transport, new GuestAllocator(memory, 4096, 8 << 20));
  await driver.initialize();
  return { driver, close };
}

async function open(protocol: Protocol, path: string) {
  if (protocol === 'vhost-user') {
    const transport = await VhostUserTransport.open({ path, deviceId: DeviceId.BLOCK });
    return { transport, memory: transport.memory, close: () => transport.close() };
  }
  const client = await VfioUserClient.connect(path);
  return { transport: await PciDriverTransport.open(client), memory: client.memory, close: () => client.close() };
}

function emptyImage(path: string): void {
  const fd = openSync(path, 'w');
  ftruncateSync(fd, 1 << 20);
  closeSync(fd);
}

async function inFolder<Result>(use: (folder: string) => Promise<Result>): Promise<Result> {
  const folder = mkdtempSync(join(tmpdir(), 'virtio-bench-'));
  try {
    return await use(folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
}
