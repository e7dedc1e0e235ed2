import { closeSync, ftruncateSync, openSync, readFileSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  commands,
  decode,
  Region,
  type Request,
  SetIrqs,
  writeEntry,
} from '../../../../src/hosts/vfio-user/messages.ts';
import { EventFd } from '../../../../src/unix/event-fd.ts';
import { closeFd, memfd } from '../../../../src/unix/file-descriptor.ts';
import { EINVAL, hostileSession } from './hostile-session.ts';

const PAGE = 4096;
const EEXIST = 17;
const ENOENT = 2;
const ENOTTY = 25;
const EIO = 5;
const ENOSPC = 28;

const session = hostileSession();

const map = (more: Partial<Request<'dmaMap'>> = {}): Request<'dmaMap'> => {
  return { argsz: 32, flags: 3, offset: 0, address: 0, size: PAGE, ...more };
};
const unmap = (address: number, size: number): Request<'dmaUnmap'> => ({ argsz: 24, flags: 0, address, size });

/** Runs `action` with a file of `bytes`. */
async function withFile(bytes: number, action: (fd: number) => Promise<void>): Promise<void> {
  const fd = memfd(bytes);
  try {
    await action(fd);
  } finally {
    closeFd(fd);
  }
}

describe('a map of memory', () => {
  it('is refused when it is no pages, nothing, beyond what a file has, or beyond all addresses', async () => {
    await withFile(4 * PAGE, async (fd) => {
      const wrong: Partial<Request<'dmaMap'>>[] = [
        { size: 0 },
        { size: 100 },
        { address: 100 },
        { offset: 100 },
        { flags: 0 },
        { flags: 2 },
        { flags: 7 },
        { address: 2 ** 53 },
        { address: 2 ** 53 - PAGE, size: 2 * PAGE },
        { offset: 2 ** 53 },
        { size: 2 ** 63 },
      ];
      for (const fields of wrong)
        expect(await session.errorOf('dmaMap', map(fields), { fds: [fd] }), JSON.stringify(fields)).toBe(EINVAL);
      expect(await session.errorOf('dmaMap', map({ size: 5 * PAGE }), { fds: [fd] })).toBe(EIO);
      expect(await session.errorOf('dmaMap', map({ size: 2 ** 34 }), { fds: [fd] })).toBe(EIO);
      expect(await session.errorOf('dmaMap', map({ size: 2 ** 42 }), { fds: [fd] })).toBe(ENOSPC);
      expect(await session.errorOf('dmaMap', map({ offset: 4 * PAGE }), { fds: [fd] })).toBe(EIO);
    });
    expect(session.rig.server.status).toMatchObject({ dmaRegions: 0, mappedBytes: 0 });
    expect(session.rig.memory.regions).toEqual([]);
  });

  it('is refused over another one, and taken away only as it came', async () => {
    await withFile(4 * PAGE, async (fd) => {
      expect(await session.errorOf('dmaMap', map({ address: PAGE, size: 2 * PAGE }), { fds: [fd] })).toBe(0);
      for (const address of [0, PAGE, 2 * PAGE]) {
        expect(await session.errorOf('dmaMap', map({ address, size: 2 * PAGE }), { fds: [fd] })).toBe(EEXIST);
        expect(await session.errorOf('dmaMap', map({ address, size: 2 * PAGE }))).toBe(EEXIST);
      }
      expect(await session.errorOf('dmaUnmap', unmap(PAGE, PAGE))).toBe(ENOENT);
      expect(await session.errorOf('dmaUnmap', unmap(0, 2 * PAGE))).toBe(ENOENT);
      expect(session.rig.server.status).toMatchObject({ dmaRegions: 1, mappedBytes: 2 * PAGE });
      const { header: head, body } = await session.ask('dmaUnmap', unmap(PAGE, 2 * PAGE));
      expect(head.error).toBe(0);
      expect(decode(commands.dmaUnmap.reply, body)!.values).toEqual(unmap(PAGE, 2 * PAGE));
      expect(session.rig.server.status).toMatchObject({ dmaRegions: 0, mappedBytes: 0 });
    });
  });

  it('shows the client’s memory, and no longer when it was taken away', async () => {
    await withFile(PAGE, async (fd) => {
      await session.ask('dmaMap', map({ address: 0x10000 }), { fds: [fd] });
      const region = session.rig.memory.find(0x10000, PAGE)!;
      expect(region.shared).toBe(true);
      const { bytes } = region;
      bytes[7] = 9;
      expect(readFileSync(`/proc/self/fd/${fd}`)[7]).toBe(9);
      await session.ask('dmaUnmap', unmap(0x10000, PAGE));
      expect(session.rig.memory.find(0x10000, PAGE)).toBeUndefined();
      // A view that somebody has kept sees nothing any more, and does no harm.
      expect(bytes[7]).toBe(0);
      bytes[8] = 1;
    });
  });

  it('of more than 4 GiB is seen in pieces, cut at multiples of that', async () => {
    const GIB = 2 ** 30;
    await withFile(10 * GIB, async (fd) => {
      const fields = { address: 3 * GIB, offset: PAGE, size: 9 * GIB };
      expect(await session.errorOf('dmaMap', map(fields), { fds: [fd] })).toBe(0);
      expect(session.rig.server.status).toMatchObject({ dmaRegions: 1, mappedBytes: 9 * GIB });
      const ends = session.rig.memory.regions.map(({ address, size }) => [address / GIB, size / GIB]);
      expect(ends).toEqual([
        [3, 1],
        [4, 4],
        [8, 4],
      ]);
      for (const { words, size } of session.rig.memory.regions) expect(words.length).toBe(size / 2);
      const last = session.rig.memory.find(12 * GIB - 1, 1)!;
      last.bytes[last.size - 1] = 7;
      const byte = new Uint8Array(1);
      readSync(fd, byte, 0, 1, 9 * GIB + PAGE - 1);
      expect(byte[0]).toBe(7);
      expect(await session.errorOf('dmaUnmap', unmap(3 * GIB, 9 * GIB))).toBe(0);
      expect(session.rig.memory.regions).toEqual([]);
    });
  });

  it('without a descriptor is one that the device cannot reach', async () => {
    expect(await session.errorOf('dmaMap', map({ size: 2 ** 40 }))).toBe(0);
    expect(session.rig.server.status).toMatchObject({ dmaRegions: 1, mappedBytes: 0 });
    expect(session.rig.memory.regions).toEqual([]);
    expect(await session.errorOf('dmaUnmap', unmap(0, 2 ** 40))).toBe(0);
  });

  it('for reading keeps what is written away from the client, and does not end the process', async () => {
    const path = join(session.rig.folder, 'file');
    const writable = openSync(path, 'w+');
    ftruncateSync(writable, PAGE);
    const fd = openSync(path, 'r');
    expect(await session.errorOf('dmaMap', map(), { fds: [fd] })).toBe(EIO);
    expect(await session.errorOf('dmaMap', map({ flags: 1 }), { fds: [fd] })).toBe(0);
    session.rig.memory.regions[0]!.bytes[0] = 1;
    expect(readFileSync(path)[0]).toBe(0);
    closeSync(fd);
    closeSync(writable);
  });

  it('can be made again and again', async () => {
    await withFile(1 << 22, async (fd) => {
      for (let n = 0; n < 2000; n++) {
        const size = PAGE * (1 + (n % 1000));
        expect(await session.errorOf('dmaMap', map({ address: n * PAGE, size }), { fds: [fd] })).toBe(0);
        expect(await session.errorOf('dmaUnmap', unmap(n * PAGE, size))).toBe(0);
      }
    });
  });
});

describe('an access', () => {
  it('outside of its region, or of a width that there is not, is refused', async () => {
    const wrong: Partial<Request<'regionRead'>>[] = [
      { region: 0 },
      { region: 6 },
      { region: 9 },
      { region: 0xffff_ffff },
      { offset: 0x4000 },
      { offset: 0x3ffe, count: 4 },
      { offset: 2 ** 63 },
      { count: 0 },
      { count: 3 },
      { count: 16 },
      { count: 0xffff_ffff },
      { region: Region.CONFIG, offset: 255, count: 2 },
      { region: Region.CONFIG, offset: 256, count: 1 },
    ];
    for (const fields of wrong) {
      const access = { offset: 0, region: 4, count: 4, ...fields };
      expect(await session.errorOf('regionRead', access), JSON.stringify(fields)).toBe(EINVAL);
      const data = new Uint8Array(Math.min(access.count, 64));
      expect(await session.errorOf('regionWrite', access, { data }), JSON.stringify(fields)).toBe(EINVAL);
    }
    const data = new Uint8Array(3);
    expect(await session.errorOf('regionWrite', { offset: 0, region: 4, count: 4 }, { data })).toBe(EINVAL);
  });

  it('of all of configuration space at once reads no register behind its window', async () => {
    const reads: string[] = [];
    session.rig.fn.onAccess = ({ register }) => reads.push(register);
    const { body } = await session.ask('regionRead', { offset: 0, region: Region.CONFIG, count: 256 });
    expect(decode(commands.regionRead.reply, body)!.data).toEqual(session.rig.fn.configSpace.slice());
    expect(reads).toEqual([]);
  });

  it('of many in one is done in order, and as far as it makes sense', async () => {
    const entry = (offset: number, count: number, low: number): Uint8Array => {
      const bytes = new Uint8Array(writeEntry.bytes);
      writeEntry.write(new DataView(bytes.buffer), { offset, region: 4, count, low, high: 0 });
      return bytes;
    };
    const written: number[] = [];
    session.rig.fn.onAccess = ({ value }) => written.push(value);
    const three = [entry(22, 2, 5), entry(20, 1, 1), entry(0, 4, 1)];
    const { header: head, body } = await session.ask('regionWriteMulti', { count: 3 }, { data: Buffer.concat(three) });
    expect([head.error, decode(commands.regionWriteMulti.reply, body)!.values]).toEqual([0, { count: 3 }]);
    expect(written).toEqual([5, 1, 1]);
    expect(await session.errorOf('regionWriteMulti', { count: 2 }, { data: Buffer.concat(three) })).toBe(EINVAL);
    expect(await session.errorOf('regionWriteMulti', { count: 2 ** 60 }, { data: Buffer.concat(three) })).toBe(EINVAL);
    const wrong = Buffer.concat([entry(22, 2, 6), entry(0, 9, 0), entry(22, 2, 7)]);
    expect(await session.errorOf('regionWriteMulti', { count: 3 }, { data: wrong })).toBe(EINVAL);
    expect(written).toEqual([5, 1, 1, 6]);
  });
});

describe('interrupts', () => {
  it('that there are not cannot be set', async () => {
    const trigger = SetIrqs.EVENTFD | SetIrqs.TRIGGER;
    const set = { argsz: 20, flags: trigger, index: 2, start: 0, count: 1 };
    const wrong: (readonly [Partial<Request<'setIrqs'>>, number])[] = [
      [{ flags: 0 }, EINVAL],
      [{ flags: SetIrqs.EVENTFD }, EINVAL],
      [{ flags: SetIrqs.EVENTFD | SetIrqs.BOOL | SetIrqs.TRIGGER }, EINVAL],
      [{ flags: trigger | SetIrqs.MASK }, EINVAL],
      [{ flags: 0xffff_ffff }, EINVAL],
      [{ flags: SetIrqs.BOOL | SetIrqs.TRIGGER }, EINVAL],
      [{ flags: SetIrqs.NONE | SetIrqs.MASK }, ENOTTY],
      [{ flags: SetIrqs.EVENTFD | SetIrqs.MASK }, ENOTTY],
      [{ flags: SetIrqs.NONE | SetIrqs.MASK, count: 0 }, EINVAL],
      [{ index: 1 }, EINVAL],
      [{ index: 5 }, EINVAL],
      [{ start: 2 }, EINVAL],
      [{ count: 3 }, EINVAL],
      [{ start: 0xffff_ffff, count: 0xffff_ffff }, EINVAL],
    ];
    for (const [fields, error] of wrong) {
      expect(await session.errorOf('setIrqs', { ...set, ...fields }), JSON.stringify(fields)).toBe(error);
    }
    const event = EventFd.create();
    expect(await session.errorOf('setIrqs', { ...set, count: 2 }, { fds: [event.fd] })).toBe(EINVAL);
    expect(await session.errorOf('setIrqs', set, { fds: [event.fd, event.fd] })).toBe(EINVAL);
    event.close();
  });
});
