/** A disk on nbdkit that one `virtio serve` has after the other: the state of the device moves, and its driver goes on. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { BlockDriver } from '../../src/devices/block/driver.ts';
import { VfioUserClient } from '../../src/hosts/vfio-user/client.ts';
import { ClientMemory } from '../../src/hosts/vfio-user/client-memory.ts';
import { VhostUserTransport } from '../../src/hosts/vhost-user/driver-transport.ts';
import { GuestAllocator } from '../../src/memory/allocator.ts';
import { DeviceId } from '../../src/spec/device-ids.ts';
import { PciDriverTransport } from '../../src/transports/pci/driver.ts';
import {
  asked,
  cleanUp,
  folder,
  freshName,
  IMAGE_BYTES,
  places,
  type Served,
  serve,
  status,
} from '../cli/served-disk.ts';
import { pattern } from '../support/rig.ts';
import { ChangingAccess } from '../unit/hosts/vfio-user/changing-access.ts';
import { NbdProgram } from './nbd-program.ts';

const SECTORS = Array.from({ length: 50 }, (_, n) => n * 16);

async function remoteDisk(): Promise<{ uri: string; image: string }> {
  const [image, socket] = [folder.image(freshName('remote'), IMAGE_BYTES), folder.path(freshName('nbd'))];
  await NbdProgram.nbdkit(socket, 'file', image);
  return { uri: `nbd+unix:///?socket=${socket}`, image };
}

async function expectAll(driver: BlockDriver, image: string): Promise<void> {
  await driver.flush();
  const stored = readFileSync(image);
  for (const sector of SECTORS) {
    expect(Buffer.compare(await driver.read(sector, 4096), pattern(4096, sector))).toBe(0);
    expect(Buffer.compare(stored.subarray(sector * 512, sector * 512 + 4096), pattern(4096, sector))).toBe(0);
  }
}

const end = async ({ server }: Served): Promise<void> => {
  server.child.kill('SIGTERM');
  expect(await server.ended).toMatchObject({ code: 0, stderr: '' });
  expect(server.stdout).not.toMatch(/"event":"(failed|disk-error|rejected)"/);
};

describe('a disk on nbdkit', () => {
  it('is paused and saved at one server, and restored and continued at another, with requests on their way (vfio-user)', async () => {
    const { uri, image } = await remoteDisk();
    const [first, next] = [
      await serve('vfio-user', { ...places(), image: uri }),
      await serve('vfio-user', { ...places(), image: uri }),
    ];
    const memory = new ClientMemory(2 << 20);
    cleanUp.push(() => memory.release());
    const clients = [
      await VfioUserClient.connect(first.socket, { memory }),
      await VfioUserClient.connect(next.socket, { memory }),
    ] as const;
    for (const client of clients) cleanUp.push(() => client.close());
    const access = new ChangingAccess(clients[0]);
    const driver = new BlockDriver(
      await PciDriverTransport.open(access),
      new GuestAllocator(memory.memory, 0x1000, 1 << 20),
    );
    await driver.initialize();
    await Promise.all(SECTORS.slice(0, 20).map((sector) => driver.write(sector, pattern(4096, sector))));
    await asked('pause', first.control);
    const onTheirWay = SECTORS.slice(20, 40).map((sector) => driver.write(sector, pattern(4096, sector)));
    const file = folder.path(freshName('state'));
    await asked('save', first.control, file);
    await clients[0].settled();
    await end(first);
    await asked('restore', next.control, file);
    access.client = clients[1];
    expect(await status(next.control)).toMatchObject({ paused: true, status: expect.stringMatching(/DRIVER_OK/) });
    await asked('continue', next.control);
    await Promise.all(onTheirWay);
    await Promise.all(SECTORS.slice(40).map((sector) => driver.write(sector, pattern(4096, sector))));
    await expectAll(driver, image);
    expect(await status(next.control)).toMatchObject({
      paused: false,
      failure: null,
      disk: { counts: { write: { requests: 30 } } },
    });
    await end(next);
  });

  it('is suspended by its driver at one server under load, and resumed at another (vhost-user)', async () => {
    const { uri, image } = await remoteDisk();
    const [first, next] = [
      await serve('vhost-user', { ...places(), image: uri }),
      await serve('vhost-user', { ...places(), image: uri }),
    ];
    const transport = await VhostUserTransport.open({ path: first.socket, deviceId: DeviceId.BLOCK });
    cleanUp.push(() => transport.close());
    const driver = new BlockDriver(transport, new GuestAllocator(transport.memory, 0x1000, 1 << 20));
    await driver.initialize();
    const writes = SECTORS.slice(0, 40).map((sector) => driver.write(sector, pattern(4096, sector)));
    await driver.suspend();
    const state = await transport.saveState();
    await transport.moveTo(next.socket, state);
    await end(first);
    expect((await status(next.control))['status']).toMatch(/SUSPEND/);
    await driver.resume();
    await Promise.all(writes);
    await Promise.all(SECTORS.slice(40).map((sector) => driver.write(sector, pattern(4096, sector))));
    await expectAll(driver, image);
    await end(next);
  });
});
