import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { Device } from '../../../../src/device/device.ts';
import { BlockDevice } from '../../../../src/devices/block/device.ts';
import { BlockDriver } from '../../../../src/devices/block/driver.ts';
import { DirectTransport } from '../../../../src/hosts/loopback/direct.ts';
import { GuestAllocator } from '../../../../src/memory/allocator.ts';
import { GuestMemory } from '../../../../src/memory/guest-memory.ts';
import { TransportError } from '../../../../src/spec/fault.ts';
import { Status } from '../../../../src/spec/status.ts';
import { discardDisk, flushDisk, readDisk, writeDisk, writeZeroesDisk } from '../../../../src/storage/index.ts';
import { CommandFlag, CommandType, ExportFlag } from '../../../../src/storage/nbd/layout.ts';
import { type NbdDisk, type NbdDiskOptions, type NbdEvent, openNbdDisk } from '../../../../src/storage/nbd.ts';
import { openFds } from '../../unix/open-fds.ts';
import { contentsOf, expectSame, pattern, runSteps, seed, steps } from '../disk-model.ts';
import { temporaryFolder } from '../temporary-folder.ts';
import { ALL_FLAGS, type Command, type NbdServerOptions, simpleReply, TestNbdServer } from './nbd-server.ts';

const folder = temporaryFolder();
const bytes = pattern(256 * 512, 1);
const MIB = 1 << 20;
let names = 0;
const cleanUp: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const action of cleanUp.splice(0).reverse()) await action();
});

interface Pair {
  readonly server: TestNbdServer;
  readonly disk: NbdDisk;
  readonly events: NbdEvent[];
}

async function serve(options: NbdServerOptions = {}, content: Uint8Array = bytes): Promise<TestNbdServer> {
  const server = await TestNbdServer.start(folder.path(`nbd-${names++}`), content, options);
  cleanUp.push(() => server.stop());
  return server;
}

async function pair(
  serverOptions: NbdServerOptions = {},
  diskOptions: NbdDiskOptions = {},
  content: Uint8Array = bytes,
): Promise<Pair> {
  const server = await serve(serverOptions, content);
  const events: NbdEvent[] = [];
  const disk = await openNbdDisk(server.uri, { onEvent: (event) => events.push(event), ...diskOptions });
  cleanUp.push(() => disk.close());
  return { server, disk, events };
}

function kinds(commands: readonly Command[]): number[] {
  return commands.map(({ type }) => type);
}

describe('an export as a disk', () => {
  it('has the size and the abilities of the export', async () => {
    const { disk } = await pair({ blocks: [4096, 65_536, 1 << 25] });
    expect(disk).toMatchObject({ capacitySectors: 256, readOnly: false, identity: 'nbd', connections: 4 });
    expect(disk.supports).toEqual({ flush: true, discard: true, writeZeroes: true });
    expect(disk.topology).toMatchObject({ blockSize: 4096, optimalBlocks: 16 });
    await expect(readDisk(disk, 512, 4096)).rejects.toThrow('blocks of 4096');
    const { READ_ONLY, HAS_FLAGS } = ExportFlag;
    const plain = await pair({ flags: HAS_FLAGS | READ_ONLY }, { identity: 'root' });
    expect(plain.disk).toMatchObject({ readOnly: true, identity: 'root', connections: 1 });
    expect(plain.disk.supports).toEqual({ flush: false, discard: false, writeZeroes: false });
    await expect(writeDisk(plain.disk, 0, bytes)).rejects.toThrow('read-only');
  });

  it('may be at a port', async () => {
    const server = await TestNbdServer.start('', bytes);
    const disk = await openNbdDisk(server.uri);
    await writeDisk(disk, 512, pattern(512, 2));
    server.crash();
    expectSame(await readDisk(disk, 512, 512), pattern(512, 2), 'what was written');
    await disk.close();
    await server.stop();
  });

  it('is asked for pieces that the server takes', async () => {
    const { server, disk } = await pair({ blocks: [1, 4096, 10_000] });
    await writeDisk(disk, 512, pattern(40_960, 2));
    expectSame(await readDisk(disk, 512, 40_960), pattern(40_960, 2), 'what was written');
    expect(Math.max(...server.log.map(({ length }) => length))).toBe(9728);
    expect(server.log.map(({ connection }) => connection)).toContain(3);
  });

  it('says how zeroes and discards are to be done', async () => {
    const { server, disk } = await pair();
    await writeZeroesDisk(disk, 0, 512);
    await writeZeroesDisk(disk, 0, 512, { mayUnmap: true });
    await discardDisk(disk, 0, 512);
    expect(server.log.map(({ type, flags }) => [type, flags])).toEqual([
      [CommandType.WRITE_ZEROES, CommandFlag.NO_HOLE],
      [CommandType.WRITE_ZEROES, 0],
      [CommandType.TRIM, 0],
    ]);
  });

  it('writes through where the server cannot flush', async () => {
    const { server, disk } = await pair({ flags: ExportFlag.HAS_FLAGS | ExportFlag.SEND_FUA });
    await writeDisk(disk, 0, pattern(512, 2));
    await flushDisk(disk);
    expect(server.log.map(({ type, flags }) => [type, flags])).toEqual([[CommandType.WRITE, CommandFlag.FUA]]);
  });

  it('says good-bye when it is closed, after what is in flight', async () => {
    const { server, disk } = await pair();
    const write = writeDisk(disk, 0, pattern(512, 2));
    await Promise.all([write, disk.close()]);
    await expect.poll(() => kinds(server.log)).toEqual([CommandType.WRITE, 2, 2, 2, 2]);
    await expect(readDisk(disk, 0, 512)).rejects.toThrow('after close');
  });

  it('leaves no descriptors behind, also of connections that broke', async () => {
    const server = await serve();
    const before = openFds();
    for (let n = 0; n < 20; n++) {
      const disk = await openNbdDisk(server.uri);
      if (n % 2 === 0) server.crash();
      await writeDisk(disk, 0, pattern(512, n));
      await disk.close();
    }
    await expect.poll(openFds).toBe(before);
  });

  it('has no more than 64 requests on a connection, and does all of them', async () => {
    const answers: (() => void)[] = [];
    const { server, disk } = await pair({ flags: ALL_FLAGS & ~ExportFlag.CAN_MULTI_CONN });
    server.onCommand = (_, answer) => answers.push(answer);
    const reads = Array.from({ length: 200 }, (_, n) => readDisk(disk, n * 512, 512));
    await expect.poll(() => answers.length).toBe(64);
    server.onCommand = (_, answer) => answer();
    for (const answer of answers.reverse()) answer();
    expectSame(Buffer.concat(await Promise.all(reads)), bytes.subarray(0, 200 * 512), 'the reads');
  });
});

describe('a server that reports an error', () => {
  it.each([
    [28, 'ENOSPC, it has no room'],
    [5, 'EIO, its medium reports an error'],
    [1234, 'error 1234'],
  ])('%d fails the request alone', async (number, message) => {
    const { server, disk, events } = await pair();
    server.onCommand = (command, answer) =>
      command.position === 512 ? command.socket.write(simpleReply(command, number)) : answer();
    const other = writeDisk(disk, 4096, pattern(512, 2));
    await expect(writeDisk(disk, 512, pattern(512, 3))).rejects.toThrow(message);
    await expect(readDisk(disk, 512, 512)).rejects.toThrow(`READ of 512 bytes at 512: ${message}`);
    await other;
    await flushDisk(disk);
    expect(events).toEqual([]);
  });

  it('for a flush is not believed a flush any more', async () => {
    const { server, disk } = await pair();
    server.onCommand = (command) => command.socket.write(simpleReply(command, 5));
    await expect(flushDisk(disk)).rejects.toThrow('FLUSH');
    server.onCommand = (_, answer) => answer();
    await expect(flushDisk(disk)).rejects.toThrow(TransportError);
    await writeDisk(disk, 0, pattern(512, 2));
  });
});

describe('a server that goes and comes back', () => {
  it('is sent again what it has not answered, in its order', async () => {
    const { server, disk, events } = await pair();
    let held = 0;
    server.onCommand = () => held++;
    const requests = [0, 1, 2].map((n) => writeDisk(disk, n * 512, pattern(512, 10 + n)));
    await expect.poll(() => held).toBe(3);
    server.onCommand = (_, answer) => answer();
    server.crash();
    await Promise.all(requests);
    expect(server.log.slice(3).map(({ position }) => position)).toEqual([0, 512, 1024]);
    expect(events).toMatchObject([{ kind: 'disconnected' }, { kind: 'reconnected', repeated: 3 }]);
  });

  it('gets what it may have lost before anything else, and a flush after it', async () => {
    const { server, disk } = await pair();
    await writeDisk(disk, 0, pattern(512, 2));
    await flushDisk(disk);
    await writeDisk(disk, 512, pattern(512, 3));
    await writeZeroesDisk(disk, 1024, 512);
    const { length } = server.log;
    server.crash();
    expectSame(await readDisk(disk, 512, 512), pattern(512, 3), 'what was not flushed');
    const { WRITE, WRITE_ZEROES, FLUSH, READ } = CommandType;
    expect(kinds(server.log.slice(length))).toEqual([WRITE, WRITE_ZEROES, FLUSH, READ]);
    expectSame(server.stable, server.content, 'what is stable');
  });

  it('while it gets that is given it again', async () => {
    const { server, disk } = await pair();
    for (let n = 0; n < 8; n++) await writeDisk(disk, n * 512, pattern(512, n));
    let crashes = 3;
    server.onCommand = ({ position }, answer) => {
      if (position === 4 * 512 && crashes-- > 0) server.crash();
      else answer();
    };
    server.crash();
    await flushDisk(disk);
    for (let n = 0; n < 8; n++) expectSame(server.stable.subarray(n * 512, n * 512 + 512), pattern(512, n), `${n}`);
  });

  it('is shutting down: what it refuses for that is for the next one', async () => {
    const { server, disk } = await pair();
    server.onCommand = (command, answer) => {
      if (server.log.length > 1) answer();
      else command.socket.write(simpleReply(command, 108));
    };
    await writeDisk(disk, 0, pattern(512, 2));
    expectSame(server.content.subarray(0, 512), pattern(512, 2), 'the export');
  });

  it('flushes by itself before too much is kept', { timeout: 30_000 }, async () => {
    const { server, disk } = await pair({}, {}, new Uint8Array(80 * MIB));
    const data = pattern(MIB, 1);
    await Promise.all(Array.from({ length: 80 }, (_, n) => writeDisk(disk, n * MIB, data)));
    expect(kinds(server.log).filter((type) => type === CommandType.FLUSH).length).toBeGreaterThan(0);
    server.crash();
    await flushDisk(disk);
    for (let n = 0; n < 80; n++) expectSame(server.stable.subarray(n * MIB, (n + 1) * MIB), data, `MiB ${n}`);
  });

  it(`loses nothing, whenever it crashes (seed ${seed})`, { timeout: 60_000 }, () =>
    fc.assert(
      fc.asyncProperty(steps, fc.array(fc.integer({ min: 1, max: 30 }), { maxLength: 6 }), async (plan, crashes) => {
        const { server, disk } = await pair({ structured: true }, { connections: 2 });
        let left = crashes[0] ?? Number.POSITIVE_INFINITY;
        let next = 1;
        server.onCommand = (_, answer) => {
          if (--left > 0) setImmediate(answer);
          else {
            left = crashes[next++] ?? Number.POSITIVE_INFINITY;
            server.crash();
          }
        };
        await runSteps({ disk, dispose: () => {} }, plan);
        left = Number.POSITIVE_INFINITY;
        const contents = await contentsOf(disk);
        await flushDisk(disk);
        expectSame(server.stable, contents, 'what is stable');
        await disk.close();
        await server.stop();
        cleanUp.length = 0;
      }),
      { seed, numRuns: 40 },
    ),
  );
});

describe('a server that stays away', () => {
  it('is waited for as long as is said; then all fails, until it is back', async () => {
    const limits = { awayMs: 300 };
    const { server, disk, events } = await pair({}, { limits });
    await writeDisk(disk, 0, pattern(512, 2));
    await server.stop();
    const requests = [readDisk(disk, 0, 512), writeDisk(disk, 512, pattern(512, 3)), flushDisk(disk)];
    const results = await Promise.allSettled(requests);
    expect(results.map((result) => result.status)).toEqual(['rejected', 'rejected', 'rejected']);
    await expect(readDisk(disk, 0, 512)).rejects.toThrow('has not been back for 300 ms');
    await server.listen();
    await expect.poll(() => events.at(-1)?.kind, { timeout: 10_000 }).toBe('reconnected');
    expect(events.map(({ kind }) => kind)).toEqual(['disconnected', 'given-up', 'reconnected']);
    expectSame(await readDisk(disk, 0, 512), pattern(512, 2), 'what was written before');
    await flushDisk(disk);
  });

  it('as it does nothing at all, is given up too, after another try', async () => {
    const { server, disk } = await pair({}, { limits: { silenceMs: 100, awayMs: 400 } });
    server.onCommand = () => {};
    await expect(readDisk(disk, 0, 512)).rejects.toThrow(/silent for 100 ms|not been back/);
    expect(server.log.length).toBeGreaterThan(1);
    server.onCommand = (_, answer) => answer();
    await expect
      .poll(() =>
        readDisk(disk, 0, 512).then(
          () => true,
          () => false,
        ),
      )
      .toBe(true);
  });

  it('does not keep a disk from being closed', async () => {
    const { server, disk, events } = await pair();
    await server.stop();
    const reads = [expect(readDisk(disk, 0, 512)).rejects.toThrow(TransportError)];
    await expect.poll(() => events.at(-1)?.kind).toBe('disconnected');
    reads.push(expect(readDisk(disk, 0, 512)).rejects.toThrow(TransportError));
    await disk.close();
    await Promise.all(reads);
  });

  it('or goes while a disk is closed, neither', async () => {
    const { server, disk } = await pair();
    server.onCommand = () => {};
    const read = expect(readDisk(disk, 0, 512)).rejects.toThrow(TransportError);
    await expect.poll(() => server.log.length).toBe(1);
    const closed = disk.close();
    server.crash();
    await Promise.all([read, closed]);
  });

  it('and comes back as another one, is not used', async () => {
    const { server, disk } = await pair({}, { limits: { awayMs: 300 } });
    server.content = server.stable = bytes.slice(0, 128 * 512);
    server.crash();
    await expect(readDisk(disk, 0, 512)).rejects.toThrow('the export had 131072 bytes and has 65536 now');
  });

  it('and comes back larger, makes the disk larger', async () => {
    const { server, disk } = await pair();
    const grown = new Promise<void>((resolve) => {
      disk.onResize = resolve;
    });
    server.content = server.stable = new Uint8Array(512 * 512);
    server.crash();
    await grown;
    expect(disk.capacitySectors).toBe(512);
    await writeDisk(disk, 400 * 512, pattern(512, 2));
  });
});

describe('a device whose server is slow', () => {
  it('is suspended when what is in flight is answered, and not before', async () => {
    const { server, disk } = await pair();
    const memory = GuestMemory.over(new Uint8Array(1 << 20));
    const device = new Device(new BlockDevice(disk), memory);
    const driver = new BlockDriver(new DirectTransport(device), new GuestAllocator(memory, 0x1000, 0xff000));
    await driver.initialize();
    const answers: (() => void)[] = [];
    server.onCommand = (_, answer) => answers.push(answer);
    const writes = Array.from({ length: 32 }, (_, n) => driver.write(n * 8, pattern(4096, n)));
    await expect.poll(() => answers.length).toBe(32);
    const suspended = driver.driver.suspend();
    for (const answer of answers.slice(1)) answer();
    await expect.poll(() => device.inFlight).toBe(1);
    expect(device.status & Status.DRIVER_OK).toBe(Status.DRIVER_OK);
    answers[0]!();
    await suspended;
    expect(device.status & (Status.SUSPEND | Status.DRIVER_OK)).toBe(Status.SUSPEND);
    expect(server.log.length).toBe(32);
    server.onCommand = (_, answer) => answer();
    await driver.driver.resume();
    await Promise.all(writes);
    expect(await driver.read(31 * 8, 4096)).toEqual(pattern(4096, 31));
  });
});
