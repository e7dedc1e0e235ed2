import { createServer } from 'node:net';
import fc from 'fast-check';
import { describe, expect, it, onTestFinished } from 'vitest';
import { TransportError } from '../../../../src/spec/fault.ts';
import { readDisk } from '../../../../src/storage/index.ts';
import { ChunkType, Info, Magic, Option, OptionReply } from '../../../../src/storage/nbd/layout.ts';
import { openNbdDisk } from '../../../../src/storage/nbd.ts';
import { expectSame, pattern, seed } from '../disk-model.ts';
import { temporaryFolder } from '../temporary-folder.ts';
import {
  ALL_FLAGS,
  type Command,
  chunk,
  type NbdServerOptions,
  optionReply,
  simpleReply,
  TestNbdServer,
  words,
} from './nbd-server.ts';

const folder = temporaryFolder();
const bytes = pattern(256 * 512, 1);
const limits = { openMs: 500, silenceMs: 300, awayMs: 300 };
let names = 0;

async function serve(options: NbdServerOptions): Promise<TestNbdServer> {
  const server = await TestNbdServer.start(folder.path(`hostile-${names++}`), bytes, options);
  onTestFinished(() => server.stop());
  return server;
}

function go(...infos: readonly Buffer[]): NbdServerOptions {
  const replies = infos.map((info) => optionReply(Option.GO, OptionReply.INFO, info));
  const all = Buffer.concat([...replies, optionReply(Option.GO, OptionReply.ACK)]);
  return { onOption: (option) => (option === Option.GO ? all : undefined) };
}

const exportInfo = (size: number): Buffer => words('u16', Info.EXPORT, 'u64', size, 'u16', ALL_FLAGS);
const blocks = (...sizes: readonly number[]): Buffer => words('u16', Info.BLOCK_SIZE, 'u32', ...sizes);
const error = (number: number, said = ''): NbdServerOptions => ({
  onOption: (option) =>
    option === Option.GO ? optionReply(option, OptionReply.ERROR + number, Buffer.from(said)) : undefined,
});

describe('no disk is opened at a server', () => {
  it.each<[string, NbdServerOptions, string]>([
    ['that is none', { greeting: Buffer.from('SSH-2.0-OpenSSH_9.2') }, 'what it says first is not NBD'],
    [
      'of old',
      { greeting: words('u32', 0x4e42444d, 0x41474943, 0x420281, 0x86125300, 'u16', 0) },
      'oldest protocol only',
    ],
    [
      'without options',
      { greeting: words('u32', 0x4e42444d, 0x41474943, 0x49484156, 0x454f5054, 'u16', 0) },
      'fixed newstyle',
    ],
    ['without that export', error(6, 'no such thing'), 'the server has no such export (it says "no such thing")'],
    ['that wants TLS', error(5), 'wants TLS'],
    ['with an error nobody knows', error(77), 'error 77'],
    ['that does not say how large it is', go(), 'does not say how large'],
    ['with an empty export', go(exportInfo(0)), 'its export is empty'],
    ['with an export larger than all disks', go(exportInfo(2 ** 60)), 'larger than any disk'],
    ['with half of a size', go(exportInfo(512).subarray(0, 7)), 'has 7 bytes, not 12'],
    ['with information about nothing', go(Buffer.alloc(1)), 'without a kind'],
    ['that does not come to an end', go(...Array.from({ length: 70 }, () => exportInfo(512))), 'more than 64 things'],
    ['with blocks of no size', go(exportInfo(512), blocks(0, 4096, 1 << 25)), 'block sizes cannot be'],
    ['with blocks larger than requests', go(exportInfo(512), blocks(4096, 4096, 512)), 'block sizes cannot be'],
    ['with blocks of odd sizes', go(exportInfo(512), blocks(1000, 4096, 1 << 25)), 'block sizes cannot be'],
    ['that answers another option', { onOption: () => optionReply(Option.ABORT, OptionReply.ACK) }, 'answers option 2'],
    ['that answers with a wrong type', { onOption: (option) => optionReply(option, 99) }, 'with type 99'],
    ['that answers with noise', { onOption: () => Buffer.alloc(20, 'x') }, 'does not begin as one'],
    [
      'that answers at length',
      { onOption: (option) => words('u32', 0x3e889, 0x045565a9, option, 1, 0x7fffffff) },
      'has 2147483647 bytes',
    ],
    ['that says nothing', { onOption: () => Buffer.alloc(0) }, 'was not ready within 500 ms'],
  ])('%s', async (_, options, message) => {
    const server = await serve(options);
    const opening = openNbdDisk(server.uri, { limits });
    await expect(opening).rejects.toThrow(TransportError);
    await expect(opening).rejects.toThrow(message);
    await expect(opening).rejects.toThrow(`NBD server ${server.uri}`);
  });

  it('that has another export on each connection', async () => {
    let count = 0;
    const options: NbdServerOptions = {
      onOption: (option) => (option === Option.GO ? server.exportReply(512 * ++count) : undefined),
    };
    const server = await serve(options);
    await expect(openNbdDisk(server.uri, { limits })).rejects.toThrow('another one on each connection');
  });

  it('that is not there, or ends at once', async () => {
    const path = folder.path('nobody');
    await expect(openNbdDisk(`nbd+unix:///?socket=${path}`, { limits })).rejects.toThrow(/NBD server .*ENOENT/);
    await expect(openNbdDisk('nbd://127.0.0.1:1/', { limits })).rejects.toThrow(/NBD server nbd:.*ECONNREFUSED/);
    const server = createServer((socket) => socket.end('NBDM'));
    await new Promise<void>((resolve) => server.listen(path, resolve));
    onTestFinished(() => void server.close());
    await expect(openNbdDisk(`nbd+unix:///?socket=${path}`, { limits })).rejects.toThrow('it ended the connection');
  });
});

const nobody = { cookie: Buffer.from('ffffffff00000000', 'hex') };
const data = (at: number, length: number): Buffer => Buffer.concat([words('u64', at), Buffer.alloc(length, 'x')]);

type Answer = (command: Command) => Buffer;

describe(`a server that says anything (seed ${seed})`, () => {
  const anything = fc.uint8Array({ minLength: 20, maxLength: 200 });

  it('before an export is agreed on is no server', () =>
    fc.assert(
      fc.asyncProperty(anything, fc.boolean(), async (noise, isFirst) => {
        const said = Buffer.from(noise);
        const server = await serve(isFirst ? { greeting: said } : { onOption: () => said });
        await expect(openNbdDisk(server.uri, { limits })).rejects.toThrow(TransportError);
      }),
      { seed, numRuns: 60 },
    ));

  it('in place of answers fails what it was asked for', () =>
    fc.assert(
      fc.asyncProperty(anything, fc.boolean(), fc.boolean(), async (noise, structured, hasMagic) => {
        const server = await serve({ structured });
        const disk = await openNbdDisk(server.uri, { limits });
        const magic = words('u32', structured ? Magic.STRUCTURED_REPLY : Magic.SIMPLE_REPLY);
        server.onCommand = ({ socket, cookie }) => {
          const said = Buffer.from(noise);
          if (hasMagic) {
            magic.copy(said);
            cookie.copy(said, 8);
          }
          socket.write(said);
        };
        // A simple reply with the number 0 is an answer, whatever follows.
        const isAnswer = hasMagic && !structured && noise.subarray(4, 8).every((byte) => byte === 0);
        if (!isAnswer) await expect(readDisk(disk, 4096, 1024)).rejects.toThrow(TransportError);
        await disk.close();
      }),
      { seed, numRuns: 60 },
    ));
});

describe('a server that breaks the protocol', () => {
  it.each<[string, boolean, Answer, string]>([
    ['with noise', false, () => Buffer.alloc(64, 'x'), 'NBD server'],
    ['by answering nobody', false, () => simpleReply(nobody), 'has the cookie 0xffffffff00000000'],
    [
      'by a magic of its own',
      false,
      (to) => Buffer.concat([Buffer.alloc(8, 1), to.cookie]),
      'a reply begins with 0x1010101',
    ],
    [
      'by a structured reply without leave',
      false,
      (to) => chunk(to, ChunkType.NONE, Buffer.alloc(0)),
      'a reply begins with 0x668e33ef',
    ],
    [
      'by a simple reply to a read',
      true,
      (to) => Buffer.concat([simpleReply(to), Buffer.alloc(1024)]),
      'with a simple reply',
    ],
    ['by a part too long', true, (to) => chunk(to, ChunkType.OFFSET_DATA, data(4096, 1025)), 'a chunk of 1033 bytes'],
    ['by a part of nothing', true, (to) => chunk(to, ChunkType.OFFSET_DATA, data(4096, 0)), 'a chunk of 8 bytes'],
    [
      'by a part before it',
      true,
      (to) => chunk(to, ChunkType.OFFSET_DATA, data(0, 512)),
      '512 bytes at 0 are a part of',
    ],
    ['by a part beyond it', true, (to) => chunk(to, ChunkType.OFFSET_DATA, data(4608, 1024)), '1024 bytes at 4608 are'],
    ['by half of it', true, (to) => chunk(to, ChunkType.OFFSET_DATA, data(4096, 512)), 'parts that are not all of it'],
    ['by nothing of it', true, (to) => chunk(to, ChunkType.NONE, Buffer.alloc(0)), 'parts that are not all of it'],
    [
      'by nothing, and more to come',
      true,
      (to) => chunk(to, ChunkType.NONE, Buffer.alloc(0), { more: true }),
      'chunk of type 0',
    ],
    [
      'by the same part twice',
      true,
      (to) =>
        Buffer.concat([
          chunk(to, ChunkType.OFFSET_DATA, data(4096, 512), { more: true }),
          chunk(to, ChunkType.OFFSET_DATA, data(4096, 512)),
        ]),
      'parts that are not all of it',
    ],
    [
      'by more than all of it',
      true,
      (to) =>
        Buffer.concat([
          chunk(to, ChunkType.OFFSET_DATA, data(4096, 1024), { more: true }),
          chunk(to, ChunkType.OFFSET_DATA, data(4096, 512), { more: true }),
        ]),
      'more than it asked for',
    ],
    [
      'by a hole too large',
      true,
      (to) => chunk(to, ChunkType.OFFSET_HOLE, words('u64', 4096, 'u32', 0xffff_fe00)),
      'bytes at 4096 are',
    ],
    [
      'by a hole of another shape',
      true,
      (to) => chunk(to, ChunkType.OFFSET_HOLE, Buffer.alloc(4)),
      'has 4 bytes to say',
    ],
    ['by a chunk of another kind', true, (to) => chunk(to, 5, Buffer.alloc(12)), 'a chunk of type 5'],
    ['by a short error', true, (to) => chunk(to, ChunkType.ERROR + 1, Buffer.alloc(3)), 'an error has 3 bytes'],
    ['by a long error', true, (to) => chunk(to, ChunkType.ERROR + 1, Buffer.alloc(9000)), 'an error has 9000 bytes'],
  ])('%s', async (_, structured, answer, message) => {
    const server = await serve({ structured });
    const disk = await openNbdDisk(server.uri, { limits });
    server.onCommand = (command) => command.socket.write(answer(command));
    const read = readDisk(disk, 4096, 1024);
    await expect(read).rejects.toThrow(message);
    await expect(read).rejects.toThrow(`NBD server ${server.uri}`);
    // It may have come to its senses.
    server.onCommand = (_, go) => go();
    await expect
      .poll(() =>
        readDisk(disk, 4096, 1024).then(
          () => 'read',
          () => 'failed',
        ),
      )
      .toBe('read');
    expectSame(await readDisk(disk, 4096, 1024), bytes.subarray(4096, 4096 + 1024), 'a read after that');
    await disk.close();
  });

  it('whenever it is connected to is asked less and less often', async () => {
    const server = await serve({});
    let connected = 0;
    const disk = await openNbdDisk(server.uri, {
      connections: 1,
      limits,
      onEvent: ({ kind }) => {
        if (kind === 'reconnected') connected++;
      },
    });
    server.onCommand = (command) => command.socket.write(Buffer.alloc(64, 'x'));
    const end = performance.now() + 800;
    while (performance.now() < end) {
      await readDisk(disk, 0, 512).catch(() => undefined);
      // While it is away all fails at once.
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(connected).toBeGreaterThan(1);
    // At once, and after 100, 200 and 400 ms.
    expect(connected).toBeLessThanOrEqual(4);
    await disk.close();
  });

  it('in words of its own is quoted', async () => {
    const server = await serve({ structured: true });
    const disk = await openNbdDisk(server.uri, { limits });
    const said = Buffer.concat([words('u32', 5, 'u16', 8), Buffer.from('bad disk')]);
    server.onCommand = (command) => command.socket.write(chunk(command, ChunkType.ERROR + 1, said));
    await expect(readDisk(disk, 0, 512)).rejects.toThrow('its medium reports an error ("bad disk")');
    await disk.close();
  });

  it('by ending in the middle of an answer is asked again', async () => {
    const server = await serve({});
    const disk = await openNbdDisk(server.uri, { limits });
    server.onCommand = (command, answer) => {
      if (server.log.length > 1) answer();
      else command.socket.end(Buffer.concat([simpleReply(command), Buffer.alloc(100)]));
    };
    expectSame(await readDisk(disk, 4096, 1024), bytes.subarray(4096, 4096 + 1024), 'the read');
    await disk.close();
  });
});
