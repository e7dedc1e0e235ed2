import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { connect } from 'node:net';
import { describe, expect, it } from 'vitest';
import {
  commands,
  decode,
  encodeRequest,
  MessageFlag,
  MOST_MESSAGE_BYTES,
  Region,
  type Request,
  SetIrqs,
} from '../../../../src/hosts/vfio-user/messages.ts';
import { EventFd } from '../../../../src/unix/event-fd.ts';
import { closeFd, memfd } from '../../../../src/unix/file-descriptor.ts';
import { UnixSocket } from '../../../../src/unix/socket.ts';
import { openFds } from '../../unix/open-fds.ts';
import { EINVAL, hostileSession } from './hostile-session.ts';
import { VfioRig } from './vfio-rig.ts';

const PAGE = 4096;
const ENOTTY = 25;

const session = hostileSession();

const map = (more: Partial<Request<'dmaMap'>> = {}): Request<'dmaMap'> => {
  return { argsz: 32, flags: 3, offset: 0, address: 0, size: PAGE, ...more };
};

/** Runs `action` with a file of `bytes`. */
async function withFile(bytes: number, action: (fd: number) => Promise<void>): Promise<void> {
  const fd = memfd(bytes);
  try {
    await action(fd);
  } finally {
    closeFd(fd);
  }
}

describe('a message', () => {
  it('that says to be shorter than its header, or larger than any, ends the session', async () => {
    for (const size of [0, 15, MOST_MESSAGE_BYTES + 1, 0xffff_ffff]) {
      const bytes = encodeRequest(0, 'reset', {});
      new DataView(bytes.buffer).setUint32(4, size, true);
      await session.expectEnd(bytes);
      await session.rig.close();
      session.rig = new VfioRig();
      session.client = session.rig.connect();
      await session.ask('version', { major: 0, minor: 1 });
    }
  });

  it('that ends in the middle ends the session', async () => {
    const bytes = encodeRequest(0, 'regionRead', { offset: 0, region: Region.CONFIG, count: 4 });
    session.client.send(bytes.subarray(0, 20));
    session.client.close();
    await expect
      .poll(() => session.rig.events.at(-1))
      .toMatchObject({
        kind: 'disconnected',
        error: { message: 'vfio-user ended within a message' },
      });
  });

  it('that comes in pieces is one', async () => {
    const bytes = encodeRequest(3, 'regionRead', { offset: 0, region: Region.CONFIG, count: 2 });
    for (const byte of bytes) {
      session.client.send(Uint8Array.of(byte));
      await new Promise((resolve) => setImmediate(resolve));
    }
    const { values, data } = decode(commands.regionRead.reply, (await session.client.reply())!.body)!;
    expect(values.count).toBe(2);
    expect([...data]).toEqual([0xf4, 0x1a]);
  });

  it('that is none, or too short, or of the server, is refused', async () => {
    const unknown = encodeRequest(9, 'reset', {});
    new DataView(unknown.buffer).setUint16(2, 99, true);
    session.client.send(unknown);
    expect((await session.client.reply())!.header).toMatchObject({ id: 9, code: 99, flags: 0x21, error: ENOTTY });
    const short = encodeRequest(10, 'dmaMap', map()).subarray(0, 40);
    new DataView(short.buffer).setUint32(4, 40, true);
    session.client.send(short);
    expect((await session.client.reply())!.header).toMatchObject({ id: 10, error: EINVAL });
    expect(await session.errorOf('dmaRead', { address: 0, count: 8 })).toBe(ENOTTY);
    expect(await session.errorOf('regionIoFds', { argsz: 16, flags: 0, index: 0, count: 0 })).toBe(ENOTTY);
    expect(await session.errorOf('version', { major: 0, minor: 1 })).toBe(EINVAL);
  });

  it('that wants no reply gets none, not even when it is refused, and one that is a reply neither', async () => {
    session.client.send(
      encodeRequest(
        1,
        'regionInfo',
        { argsz: 32, flags: 0, index: 99, capabilities: 0, size: 0, offset: 0 },
        { flags: MessageFlag.NO_REPLY },
      ),
    );
    session.client.send(encodeRequest(2, 'reset', {}, { flags: MessageFlag.REPLY }));
    expect(await session.errorOf('reset', {})).toBe(0);
  });

  it('before the version is refused', async () => {
    session.client.close();
    await expect.poll(() => session.rig.server.status.connected).toBe(false);
    session.client = session.rig.connect();
    expect(await session.errorOf('reset', {})).toBe(EINVAL);
    expect(await session.errorOf('version', { major: 1, minor: 0 })).toBe(EINVAL);
    expect(
      await session.errorOf('version', { major: 0, minor: 0 }, { data: Buffer.from('{"capabilities":7}\0') }),
    ).toBe(EINVAL);
    const { body } = await session.ask('version', { major: 0, minor: 5 });
    expect(decode(commands.version.reply, body)!.values).toEqual({ major: 0, minor: 1 });
  });
});

describe('descriptors', () => {
  it('that nobody wants are closed', async () => {
    await withFile(PAGE, async (fd) => {
      const before = openFds();
      expect(await session.errorOf('reset', {}, { fds: [fd, fd, fd] })).toBe(0);
      expect(await session.errorOf('dmaMap', map(), { fds: [fd, fd] })).toBe(EINVAL);
      expect(openFds()).toBe(before);
    });
  });

  it('of the wrong kind are refused', async () => {
    const [near, far] = UnixSocket.pair();
    const event = EventFd.create();
    const directory = openSync(session.rig.folder, 'r');
    const device = openSync('/dev/zero', 'r+');
    for (const fd of [near.fd, event.fd, directory, device]) {
      expect(await session.errorOf('dmaMap', map(), { fds: [fd] })).toBe(EINVAL);
    }
    for (const fd of [near.fd, directory, device]) {
      const set = { argsz: 20, flags: SetIrqs.EVENTFD | SetIrqs.TRIGGER, index: 2, start: 0, count: 1 };
      expect(await session.errorOf('setIrqs', set, { fds: [fd] })).toBe(EINVAL);
      expect(await session.errorOf('setIrqs', { ...set, index: 0 }, { fds: [fd] })).toBe(EINVAL);
    }
    near.close();
    far.close();
    event.close();
    closeSync(directory);
    closeSync(device);
    expect(session.rig.server.status.dmaRegions).toBe(0);
  });

  it('that come in pieces, too many for one message, end the session and are closed', async () => {
    await withFile(PAGE, async (fd) => {
      const before = openFds();
      const bytes = encodeRequest(0, 'reset', {});
      for (let n = 0; n < 15; n++) session.client.send(bytes.subarray(n, n + 1), [fd, fd]);
      expect(await session.client.reply()).toBeUndefined();
      session.client.close();
      await expect.poll(() => openFds()).toBe(before - 2);
    });
  });
});

describe('a client', () => {
  it('that does not read its replies is not listened to, and costs no memory', async () => {
    const bytes = encodeRequest(0, 'regionRead', { offset: 0, region: Region.CONFIG, count: 256 });
    const many = Buffer.concat(Array.from({ length: 64 }, () => bytes));
    let refused = 0;
    let unsent = new Uint8Array(0);
    // Until the server has read nothing for a while: both buffers of the socket are full.
    while (refused < 20) {
      const next = unsent.length > 0 ? unsent : many;
      const sent = session.client.send(next);
      unsent = next.subarray(sent);
      refused = sent === 0 ? refused + 1 : 0;
      await new Promise((resolve) => setImmediate(resolve));
    }
    // All of it is answered when it reads at last.
    expect((await session.client.reply())!.header.error).toBe(0);
    session.client.close();
    await expect.poll(() => session.rig.server.status.connected).toBe(false);
  });

  it('that goes away with a reply on its way to it is forgotten', async () => {
    const asked = encodeRequest(4, 'regionRead', { offset: 0, region: Region.CONFIG, count: 2 });
    session.client.send(asked);
    session.client.close();
    await expect.poll(() => session.rig.events.at(-1)?.kind).toBe('disconnected');
    expect(session.rig.server.status.connected).toBe(false);
  });

  it('that will send no more, and only reads, is answered and done', async () => {
    session.client.close();
    await expect.poll(() => session.rig.server.status.connected).toBe(false);
    const half = connect({ path: session.rig.server.path, allowHalfOpen: true });
    const chunks: Uint8Array[] = [];
    half.on('data', (chunk) => chunks.push(chunk));
    half.end(encodeRequest(4, 'version', { major: 0, minor: 0 }));
    await once(half, 'end');
    expect(Buffer.concat(chunks).readUInt16LE(0)).toBe(4);
    expect(session.rig.events.at(-1)).toEqual({ kind: 'disconnected', error: undefined });
    half.destroy();
    await once(half, 'close');
  });

  it('that is the second one is turned away, and the first one is served on', async () => {
    const second = session.rig.connect();
    expect(await second.reply()).toBeUndefined();
    expect(session.rig.events.at(-1)).toEqual({ kind: 'refused', reason: 'the function has a client already' });
    expect(await session.errorOf('reset', {})).toBe(0);
  });
});
