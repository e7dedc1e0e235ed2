/** Our driver and QEMU's own back-end, qemu-storage-daemon: what one writes the other has. */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { BlockDriver } from '../../src/devices/block/driver.ts';
import { VhostUserTransport } from '../../src/hosts/vhost-user/driver-transport.ts';
import { GuestAllocator } from '../../src/memory/allocator.ts';
import { DeviceId } from '../../src/spec/device-ids.ts';
import { StateError } from '../../src/spec/fault.ts';
import { Feature, hasFeature } from '../../src/spec/features.ts';
import { hasProgram } from '../support/programs.ts';
import { pattern } from '../support/rig.ts';

const PROGRAM = 'qemu-storage-daemon';
const hasDaemon = hasProgram(PROGRAM, 'qemu-utils');

const IMAGE_BYTES = 4 << 20;

describe.skipIf(!hasDaemon)('a disk of qemu-storage-daemon', () => {
  let folder: string;
  let image: string;
  let daemon: ChildProcess;
  let ended: Promise<unknown>;
  let transport: VhostUserTransport;
  let driver: BlockDriver;
  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'virtio-daemon-'));
    image = join(folder, 'image');
    const path = join(folder, 'socket');
    writeFileSync(image, pattern(IMAGE_BYTES, 3));
    const address = `addr.type=unix,addr.path=${path}`;
    daemon = spawn(
      PROGRAM,
      [
        ...['--blockdev', `driver=file,node-name=disk,filename=${image}`],
        ...['--export', `type=vhost-user-blk,id=export,node-name=disk,writable=on,${address}`],
      ],
      { stdio: 'ignore' },
    );
    ended = new Promise((resolve) => daemon.once('exit', resolve));
    await expect.poll(() => existsSync(path), { timeout: 20_000 }).toBe(true);
    transport = await VhostUserTransport.open({ path, deviceId: DeviceId.BLOCK });
    const room = transport.memory.regions[0]!.size - 0x1000;
    driver = new BlockDriver(transport, new GuestAllocator(transport.memory, 0x1000, room));
    await driver.initialize();
  });
  afterEach(async () => {
    transport.close();
    daemon.kill('SIGKILL');
    await ended;
    rmSync(folder, { recursive: true });
  });

  it('is read and written, many requests at once', async () => {
    expect(driver.info).toMatchObject({ capacitySectors: IMAGE_BYTES / 512, readOnly: false });
    expect(await driver.read(8, 4096)).toEqual(pattern(IMAGE_BYTES, 3).slice(4096, 8192));
    const expected = new Map(Array.from({ length: 100 }, (_, n) => [16 + 8 * n, pattern(4096, n)]));
    await Promise.all([...expected].map(([sector, bytes]) => driver.write(sector, bytes)));
    await driver.flush();
    const stored = readFileSync(image);
    for (const [sector, bytes] of expected) {
      expect(new Uint8Array(stored.subarray(512 * sector, 512 * sector + 4096))).toEqual(bytes);
      expect(await driver.read(sector, 4096)).toEqual(bytes);
    }
  });

  it('does not offer to be suspended: that is refused, and it works on', async () => {
    expect(hasFeature(driver.driver.features, Feature.SUSPEND)).toBe(false);
    await expect(driver.driver.suspend()).rejects.toThrow(StateError);
    await driver.write(0, pattern(512));
    expect(await driver.read(0, 512)).toEqual(pattern(512));
  });

  it('is used again after a reset', async () => {
    await driver.write(0, pattern(512));
    await driver.initialize();
    expect(await driver.read(0, 512)).toEqual(pattern(512));
  });

  it('that ends fails the requests that are under way', async () => {
    const reads = Array.from({ length: 20 }, (_, n) => driver.read(n, 512).catch((error: unknown) => error));
    daemon.kill('SIGKILL');
    for (const read of await Promise.all(reads)) {
      if (read instanceof Uint8Array) continue;
      expect(read).toBeInstanceOf(Error);
    }
    await expect(driver.read(0, 512)).rejects.toThrow();
  });
});
