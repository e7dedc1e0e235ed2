/** A client whose memory is larger than a view can be: buffers above 4 GiB, and across a multiple of it, are served. */
import { expect, it } from 'vitest';
import { BlockDevice } from '../../../../src/devices/block/device.ts';
import { BlockDriver } from '../../../../src/devices/block/driver.ts';
import { VfioUserClient } from '../../../../src/hosts/vfio-user/client.ts';
import type { ClientMemory } from '../../../../src/hosts/vfio-user/client-memory.ts';
import { FrontEndMemory } from '../../../../src/hosts/vhost-user/front-end-memory.ts';
import { GuestAllocator, type GuestSlice } from '../../../../src/memory/allocator.ts';
import { GuestMemory } from '../../../../src/memory/guest-memory.ts';
import { Feature } from '../../../../src/spec/features.ts';
import { MemoryDisk } from '../../../../src/storage/memory-disk.ts';
import { PciDriverTransport } from '../../../../src/transports/pci/driver.ts';
import { closeFd, memfd } from '../../../../src/unix/file-descriptor.ts';
import { pattern } from '../../../support/rig.ts';
import { openFds } from '../../unix/open-fds.ts';
import { VfioRig } from './vfio-rig.ts';

const MIB = 1 << 20;
const GIB = 2 ** 30;
const BYTES = 13 * GIB;

it.each(['split', 'packed'] as const)('rings and buffers anywhere in 13 GiB are served, %s', async (format) => {
  const fds = openFds();
  const fd = memfd(BYTES);
  const memory = new GuestMemory();
  const mapped = new FrontEndMemory(memory, 1);
  mapped.add({ guestAddress: 0, size: BYTES, userAddress: 0, fileOffset: 0 }, fd);
  const type = new BlockDevice(new MemoryDisk({ capacitySectors: (128 * MIB) / 512 }));
  const rig = new VfioRig({ type, device: { offer: format === 'packed' ? [Feature.RING_PACKED] : [] } });
  // A client's own memory has no more than one view shows.
  const shared = { memory, bytes: BYTES, fd, release: () => {} } as Partial<ClientMemory> as ClientMemory;
  const client = await VfioUserClient.connect(rig.server.path, { memory: shared });
  const failures: string[] = [];
  rig.device.observer = { failed: ({ message }) => failures.push(message) };
  const slice = (address: number, length: number): GuestSlice => {
    const region = memory.find(address, length)!;
    return { address, length, region, offset: address - region.address };
  };
  try {
    expect(rig.server.status).toMatchObject({ dmaRegions: 1, mappedBytes: BYTES });
    const transport = await PciDriverTransport.open(client);
    const driver = new BlockDriver(transport, new GuestAllocator(memory, 9 * GIB, 16 * MIB));
    await driver.initialize();
    for (const address of [4 * GIB + 12_345, 8 * GIB - 4096, BYTES - 4096, 4 * GIB - 100, 8 * GIB - 4095]) {
      const { region, offset } = slice(address, 4096);
      region.bytes.set(pattern(4096, 3), offset);
      await driver.writeFrom(8, slice(address, 4096));
      region.bytes.fill(0, offset, offset + 4096);
      await driver.readInto(8, slice(address, 4096));
      expect(region.bytes.slice(offset, offset + 4096)).toEqual(pattern(4096, 3));
    }
    // Further across than is seen in one piece: what was written to sector 8 comes before, what was written behind it after 4 GiB.
    const long = { ...slice(4 * GIB - 65 * MIB, 512), length: 66 * MIB };
    const end = slice(4 * GIB + MIB - 4096, 4096);
    end.region.bytes.set(pattern(4096, 7), end.offset);
    await driver.writeFrom((66 * MIB - 4096) / 512, end);
    end.region.bytes.fill(0, end.offset, end.offset + 4096);
    await driver.readInto(0, long);
    expect(end.region.bytes.slice(end.offset, end.offset + 4096)).toEqual(pattern(4096, 7));
    expect(long.region.bytes.slice(long.offset + 4096, long.offset + 8192)).toEqual(pattern(4096, 3));
    expect(failures).toEqual([]);
    await driver.readInto(8, slice(12 * GIB, 4096));
    expect(slice(12 * GIB, 4096).region.bytes.slice(0, 4096)).toEqual(pattern(4096, 3));
    expect(rig.server.status.connected).toBe(true);
  } finally {
    client.close();
    await rig.close();
    mapped.clear();
    closeFd(fd);
  }
  expect(openFds()).toBe(fds);
});
