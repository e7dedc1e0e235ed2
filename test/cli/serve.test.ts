/** `virtio serve`, with our own drivers in place of a virtual machine, and what is asked at its control socket. */
import { once } from 'node:events';
import { readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { describe, expect, it } from 'vitest';
import { VfioUserClient } from '../../src/hosts/vfio-user/client.ts';
import { ClientMemory } from '../../src/hosts/vfio-user/client-memory.ts';
import { ExportFlag } from '../../src/storage/nbd/layout.ts';
import { pattern } from '../support/rig.ts';
import { directPlace } from '../unit/storage/direct-places.ts';
import { canBeMapped } from '../unit/storage/mappable-places.ts';
import { simpleReply, TestNbdServer } from '../unit/storage/nbd/nbd-server.ts';
import {
  argumentsOf,
  ask,
  asked,
  cleanUp,
  drive,
  events,
  folder,
  freshName,
  IMAGE_BYTES,
  PROTOCOLS,
  places,
  scrape,
  serve,
  status,
} from './served-disk.ts';
import { start, virtio } from './virtio.ts';

const canBeDirect = directPlace === tmpdir();
if (!canBeDirect)
  console.warn('skipped: an image past the page cache, as the folder for temporary files does not allow it');
/** How an image can be read and written here, besides by calls through the page cache. */
const WAYS = [...(canBeMapped ? ['--mapped'] : []), ...(canBeDirect ? ['--direct'] : [])];

describe.each(PROTOCOLS)('a disk that is served over %s', (protocol) => {
  it('is read, written, counted, and given another size; SIGTERM ends it', async () => {
    const served = await serve(protocol);
    const driver = await drive(protocol, served.socket);
    await Promise.all([0, 8, 16].map((sector) => driver.write(sector, pattern(4096, sector))));
    expect(await driver.read(8, 4096)).toEqual(pattern(4096, 8));
    await driver.flush();
    expect(new Uint8Array(readFileSync(served.image).subarray(0, 4096))).toEqual(pattern(4096, 0));
    expect(await status(served.control)).toMatchObject({
      ...{ protocol, socket: served.socket, image: served.image, connected: true, sessions: 1 },
      ...{ paused: false, failure: null, inFlight: 0 },
      disk: {
        bytes: IMAGE_BYTES,
        readOnly: false,
        errors: 0,
        counts: { read: { requests: 1, bytes: 4096 }, write: { requests: 3, bytes: 12288 }, flush: { requests: 1 } },
      },
    });
    const metrics = await scrape(served.metrics);
    expect(metrics.get('virtio_connected')).toBe(1);
    expect(metrics.get('virtio_disk_bytes_total{operation="write"}')).toBe(12288);
    expect(metrics.get('virtio_kicks_total')).toBeGreaterThan(0);

    const grown = new Promise((resolve) => {
      driver.onInfoChange = ({ capacitySectors }) => resolve(capacitySectors);
    });
    await asked('resize', served.control, '2M');
    expect(await grown).toBe(4096);
    expect(await asked('status', served.control)).toMatch(/bytes +│ 2097152 /);

    for (const action of cleanUp.splice(0)) action();
    await served.server.says(/"event":"disconnected"/);
    served.server.child.kill('SIGTERM');
    expect(await served.server.ended).toMatchObject({ code: 0, stderr: '' });
    expect(events(served)).toEqual(['listening', 'connected', 'disconnected', 'ending', 'ended']);
  });

  it('rests while it is paused, is saved then, and goes on, or another one does', async () => {
    const served = await serve(protocol);
    const memory = new ClientMemory(2 << 20);
    cleanUp.push(() => memory.release());
    const driver = await drive(protocol, served.socket, memory);
    await driver.write(0, pattern(512));
    const file = folder.path(`${protocol}.state`);
    const early = await virtio(['save', served.control, file]);
    expect(early).toMatchObject({ code: 1, stderr: expect.stringMatching(/a device is saved while it is suspended/) });
    await asked('pause', served.control);
    const read = driver.read(0, 512);
    expect(await status(served.control)).toMatchObject({ paused: true, disk: { counts: { read: { requests: 0 } } } });
    await asked('save', served.control, file);
    expect(JSON.parse(readFileSync(file, 'utf8'))).toHaveProperty('checksum');
    await asked('continue', served.control);
    expect(await read).toEqual(pattern(512));
    const running = await virtio(['restore', served.control, file]);
    expect(running).toMatchObject({ code: 1, stderr: expect.stringMatching(/just made or reset|before one is/) });

    const next = await serve(protocol);
    // Over vhost-user the front-end says later where the rings are; a whole function has to find them.
    if (protocol === 'vfio-user') {
      const client = await VfioUserClient.connect(next.socket, { memory });
      cleanUp.push(() => client.close());
    }
    await asked('restore', next.control, file);
    expect(await status(next.control)).toMatchObject({ paused: true, status: expect.stringMatching(/DRIVER_OK/) });
  });

  it('is suspended by its driver, and saved then', async () => {
    const served = await serve(protocol);
    const driver = await drive(protocol, served.socket);
    await driver.write(0, pattern(512));
    await driver.driver.suspend();
    expect((await status(served.control))['status']).toMatch(/SUSPEND/);
    await asked('save', served.control, folder.path(`${protocol}.suspended`));
    await driver.driver.resume();
    expect(await driver.read(0, 512)).toEqual(pattern(512));
  });

  it('is not served where somebody serves, and takes over what a process left behind', async () => {
    const served = await serve(protocol);
    const at = { ...places(), socket: served.socket };
    const second = await virtio(argumentsOf(protocol, at));
    expect(second).toMatchObject({
      code: 1,
      stdout: '',
      stderr: expect.stringMatching(/socket-\d+ is taken: somebody listens there/),
    });
    for (const control of [served.control, folder.image('no-socket')]) {
      const third = await virtio(argumentsOf(protocol, { ...places(), control }));
      expect(third).toMatchObject({ code: 1, stderr: expect.stringMatching(/cannot listen at /) });
    }
    const inUse = await virtio(argumentsOf(protocol, { ...places(), image: served.image }));
    expect(inUse).toMatchObject({ code: 1, stdout: '', stderr: expect.stringMatching(/in use/) });
    served.server.child.kill('SIGKILL');
    await served.server.ended;
    const again = await serve(protocol, served);
    const driver = await drive(protocol, again.socket);
    await driver.write(0, pattern(512));
  });

  it.each(WAYS)('can be served with %s', async (way) => {
    const served = await serve(protocol, places(), [way]);
    await served.server.says(new RegExp(`"access":"${way.slice(2)}"`));
    const driver = await drive(protocol, served.socket);
    await driver.write(3, pattern(4096));
    await driver.flush();
    expect(new Uint8Array(readFileSync(served.image).subarray(3 * 512, 3 * 512 + 4096))).toEqual(pattern(4096));
    await asked('resize', served.control, '3M');
    expect(await status(served.control)).toMatchObject({ disk: { bytes: 3 << 20 } });
  });

  it('may be on an NBD server, which crashes and loses what it has not flushed', async () => {
    const nbd = await TestNbdServer.start(folder.path(freshName('nbd')), new Uint8Array(IMAGE_BYTES));
    cleanUp.push(() => void nbd.stop());
    const served = await serve(protocol, { ...places(), image: nbd.uri });
    const driver = await drive(protocol, served.socket);
    const sectors = [0, 8, 16, 24, 32, 40, 48, 56];
    await Promise.all(sectors.slice(0, 4).map((sector) => driver.write(sector, pattern(4096, sector))));
    nbd.onCommand = (_, answer) => {
      if (nbd.log.length === 6) nbd.crash();
      else answer();
    };
    await Promise.all(sectors.slice(4).map((sector) => driver.write(sector, pattern(4096, sector))));
    await driver.flush();
    for (const sector of sectors) {
      expect(nbd.stable.subarray(sector * 512, sector * 512 + 4096)).toEqual(pattern(4096, sector));
    }
    await served.server.says(/"event":"nbd-reconnected","repeated":\d/);
    // While nothing is in flight it is noticed at the next request, at the latest.
    nbd.crash();
    expect(await driver.read(8, 4096)).toEqual(pattern(4096, 8));
    expect(await status(served.control)).toMatchObject({ image: nbd.uri, disk: { bytes: IMAGE_BYTES, errors: 0 } });
    const resized = await virtio(['resize', served.control, '2M']);
    expect(resized).toMatchObject({ code: 1, stderr: expect.stringMatching(/is resized by its server/) });
    nbd.onCommand = (command) => command.socket.write(simpleReply(command, 28));
    await expect(driver.write(0, pattern(512))).rejects.toThrow();
    await served.server.says(/"event":"disk-error","operation":"write","reason":"NBD server .*ENOSPC/);
    for (const action of cleanUp.splice(1)) action();
    served.server.child.kill('SIGTERM');
    expect((await served.server.ended).code).toBe(0);
  });

  it('ends after what is in processing', async () => {
    const nbd = await TestNbdServer.start(folder.path(freshName('nbd')), new Uint8Array(IMAGE_BYTES));
    cleanUp.push(() => void nbd.stop());
    const served = await serve(protocol, { ...places(), image: nbd.uri });
    const driver = await drive(protocol, served.socket);
    let answer = (): void => {};
    const asked = new Promise<void>((resolve) => {
      nbd.onCommand = (_, done) => {
        answer = done;
        resolve();
      };
    });
    const write = driver.write(0, pattern(512));
    await asked;
    served.server.child.kill('SIGTERM');
    await served.server.says(/"event":"ending"/);
    answer();
    await write;
    expect((await served.server.ended).code).toBe(0);
    expect(events(served)).toEqual(['listening', 'connected', 'ending', 'disconnected', 'ended']);
    expect(nbd.content.subarray(0, 512)).toEqual(pattern(512));
  });

  it.each(['through the page cache', ...WAYS])('fails what was cut off of an image (%s)', async (way) => {
    const served = await serve(protocol, places(), WAYS.includes(way) ? [way] : []);
    const driver = await drive(protocol, served.socket);
    await driver.write(0, pattern(512));
    truncateSync(served.image, IMAGE_BYTES / 2);
    await expect(driver.read(IMAGE_BYTES / 512 - 8, 4096)).rejects.toThrow();
    await expect(driver.write(IMAGE_BYTES / 512 - 8, pattern(4096))).rejects.toThrow();
    await served.server.says(/"event":"disk-error","operation":"write","reason":".*disk-\d+/);
    expect(await driver.read(0, 512)).toEqual(pattern(512));
  });

  it('has one virtual machine at a time', async () => {
    const served = await serve(protocol);
    const driver = await drive(protocol, served.socket);
    const other = connect(served.socket);
    await new Promise((resolve) => other.on('close', resolve));
    await served.server.says(/"event":"refused"/);
    await driver.write(0, pattern(512));
  });

  it('is read-only on an NBD server that has it so', async () => {
    const flags = ExportFlag.HAS_FLAGS | ExportFlag.READ_ONLY;
    const nbd = await TestNbdServer.start(folder.path(freshName('nbd')), new Uint8Array(IMAGE_BYTES), { flags });
    cleanUp.push(() => void nbd.stop());
    const served = await serve(protocol, { ...places(), image: nbd.uri });
    expect((await drive(protocol, served.socket)).info.readOnly).toBe(true);
    expect(served.server.stdout).toMatch(/"event":"listening",.*"readOnly":true/);
    expect(await asked('status', served.control)).toMatch(/image .*, read-only/);
  });

  it('is not written to when it is read-only', async () => {
    const served = await serve(protocol, places(), ['--read-only', '--queues', '2']);
    const driver = await drive(protocol, served.socket);
    expect(driver.info).toMatchObject({ readOnly: true, queues: 2 });
    await expect(driver.write(0, pattern(512))).rejects.toThrow();
    const resized = await virtio(['resize', served.control, '2M']);
    expect(resized).toMatchObject({ code: 1, stderr: expect.stringMatching(/read-only/) });
    expect(readFileSync(served.image).every((byte) => byte === 0)).toBe(true);
  });
});

describe('metrics', () => {
  it('are at a port of this machine, too, with what the disk could not do; nothing else is', async () => {
    const port = await freePort();
    const at = places();
    const server = start(['serve', 'block', '--image', at.image, '--vhost-user', at.socket, '--metrics', `${port}`]);
    await server.says(/"event":"listening"/);
    const driver = await drive('vhost-user', at.socket);
    expect((await scrape(port)).get('virtio_disk_errors_total')).toBe(0);
    truncateSync(at.image, IMAGE_BYTES / 2);
    await expect(driver.read(IMAGE_BYTES / 512 - 8, 4096)).rejects.toThrow();
    await expect(driver.read(IMAGE_BYTES / 512 - 8, 4096)).rejects.toThrow();
    const metrics = await scrape(port);
    expect(metrics.get('virtio_disk_errors_total')).toBe(2);
    expect(metrics.get('virtio_failed')).toBe(0);
    for (const path of ['/', '/metrics/', '/other']) {
      expect(await ask(port, path)).toEqual({ code: 404, body: 'there is /metrics\n' });
    }
    const taken = await virtio([...argumentsOf('vhost-user', { ...places(), metrics: `${port}` })]);
    expect(taken).toMatchObject({ code: 1, stderr: expect.stringMatching(/cannot listen at \d+: .*EADDRINUSE/) });
  });
});

/** That was free a moment ago. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

describe('a control socket', () => {
  it('answers what makes no sense with what would', async () => {
    const served = await serve('vhost-user');
    const socket = connect(served.control);
    let said = '';
    socket.setEncoding('utf8').on('data', (text: string) => (said += text));
    socket.write('hello\n{"command":"explode"}\n{"command":"resize","argument":7}\n[]\n{"command":"status"}\n');
    await expect.poll(() => said.split('\n').length).toBe(6);
    const answers = said
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as { ok: boolean; error?: string });
    expect(answers.map(({ ok }) => ok)).toEqual([false, false, false, false, true]);
    expect(answers.slice(0, 4).map(({ error }) => error)).toEqual([
      expect.stringMatching(/a line of JSON/),
      expect.stringMatching(/no command "explode": there are status, pause/),
      expect.stringMatching(/a multiple of 512 bytes, not 7/),
      expect.stringMatching(/no command undefined/),
    ]);
    socket.destroy();
  });

  it('answers also who has said that no more will come, and ends then', async () => {
    const served = await serve('vhost-user');
    const socket = connect({ path: served.control, allowHalfOpen: true });
    let said = '';
    socket.setEncoding('utf8').on('data', (text: string) => (said += text));
    const ended = new Promise((resolve) => socket.on('end', resolve));
    socket.end('{"command":"pause"}\n{"command":"status"}\n');
    await ended;
    expect(said.trimEnd().split('\n')).toEqual([
      '{"ok":true,"result":null}',
      expect.stringMatching(/^\{"ok":true,"result":\{.*"paused":true/),
    ]);
  });

  it('that nobody listens at is said to be so', async () => {
    const nobody = folder.path('nobody');
    for (const args of [
      ['status', nobody],
      ['pause', nobody],
      ['resize', nobody, '1G'],
    ]) {
      expect(await virtio(args)).toMatchObject({
        code: 1,
        stderr: expect.stringMatching(/no server answers at .*nobody/),
      });
    }
  });

  it('is not given what is no saved state', async () => {
    const served = await serve('vhost-user');
    const file = folder.path('no.state');
    writeFileSync(file, 'hello');
    expect(await virtio(['restore', served.control, file])).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/not JSON/),
    });
    writeFileSync(file, '{"format":"something"}');
    expect((await virtio(['restore', served.control, file])).code).toBe(1);
    expect(await virtio(['restore', served.control, `${file}.gone`])).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/cannot read .*gone/),
    });
  });
});
