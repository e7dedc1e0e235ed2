/** `virtio check device` with devices in other processes. */
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { DEVICE_CASES } from '../support/device-case-count.ts';
import { readJunit } from '../support/junit-xml.ts';
import { keepVerdicts } from '../support/verdicts.ts';
import { start, virtio, workFolder } from './virtio.ts';

const folder = workFolder();

interface Case {
  readonly name: string;
  readonly result: string;
  readonly message?: string;
}

// Registers of queues are there over PCI alone, for each of the kinds of rings that this disk has.
describe.each([
  ['vhost-user', 177],
  ['vfio-user', 174],
] as const)('virtio check device %s', (way, skipped) => {
  it('judges the disk of virtio serve: what needs no more than a driver passes, the rest is not exercised', async () => {
    const socket = folder.path(`${way}.sock`);
    const server = start([
      'serve',
      'block',
      '--queues',
      '2',
      '--image',
      folder.image(`${way}.img`),
      `--${way}`,
      socket,
    ]);
    await server.says(/"listening"/);
    const [json, xml] = [folder.path(`${way}.json`), folder.path(`${way}.xml`)];
    const { code, stdout, stderr } = await virtio(['check', 'device', way, socket, '--json', json, '--junit', xml]);
    expect({ code, counts: stdout.match(/^\d+ cases, \d+ failed, \d+ not exercised/m)?.[0] }).toEqual({
      code: 0,
      counts: `${DEVICE_CASES} cases, 0 failed, ${skipped} not exercised`,
    });
    expect(stderr).toContain(`The device at ${socket}, over ${way}`);
    expect(stdout).toContain('as what is behind the device is out of reach: held requests');
    const report = readFileSync(json, 'utf8');
    const command = `virtio check device ${way} SOCKET`;
    keepVerdicts(`ours-${way}`, { name: `ours, ${way}`, role: 'device', command }, report);
    const { cases, rules } = JSON.parse(report) as {
      cases: Case[];
      rules: { id: string; result: string }[];
    };
    const reasons = new Set(cases.filter(({ result }) => result === 'not exercised').map(({ message }) => message));
    expect(reasons).toContain('the device does not offer VIRTIO_F_IN_ORDER');
    expect(reasons).toContain('it is for the console');
    expect(reasons).toContain('what is behind the device is out of reach: moves');
    expect(reasons.has('the way to the device has no registers of queues to read')).toBe(way === 'vhost-user');
    const passed = rules.filter(({ result }) => result === 'pass').map(({ id }) => id);
    expect(passed).toEqual(expect.arrayContaining(['suspend.device.4', 'suspend.device.9', 'split.device.used.id']));
    const run = readJunit(readFileSync(xml, 'utf8')).cases.filter(({ suite }) => suite === 'cases');
    expect(run.filter(({ result }) => result === 'skipped').length).toBe(skipped);
    server.child.kill('SIGTERM');
    expect((await server.ended).code).toBe(0);
  });
});

describe('a peer that is none', () => {
  const servers: Server[] = [];
  const sockets: Socket[] = [];
  afterEach(() => {
    for (const server of servers.splice(0)) server.close();
    for (const socket of sockets.splice(0)) socket.destroy();
  });

  async function listen(name: string, connected: (socket: Socket) => void): Promise<string> {
    const path = folder.path(name);
    const server = createServer((socket) => {
      sockets.push(socket.on('error', () => {}));
      connected(socket);
    });
    servers.push(server);
    await new Promise<void>((resolve) => server.listen(path, resolve));
    return path;
  }

  it.each([
    ['is not there', async (): Promise<string> => folder.path('nowhere'), 'ENOENT'],
    [
      'is a file',
      async (): Promise<string> => {
        writeFileSync(folder.path('file'), '');
        return folder.path('file');
      },
      'ECONNREFUSED',
    ],
    ['says nothing', (): Promise<string> => listen('silent', () => {}), 'did not answer: it may take 0.5 s'],
    ['closes at once', (): Promise<string> => listen('closing', (socket) => socket.end()), 'ended the connection'],
    [
      'speaks something else',
      (): Promise<string> => listen('other', (socket) => socket.write('HTTP/1.1 400 Bad Request\r\n\r\n')),
      'no device to judge at',
    ],
  ])('%s', async (_, path, why) => {
    const socket = await path();
    const ways = ['vhost-user', 'vfio-user'] as const;
    const runs = ways.map((way) => virtio(['check', 'device', way, socket, '--limit', '0.5', '--json']));
    for (const [n, { code, stdout, stderr }] of (await Promise.all(runs)).entries()) {
      expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
      expect(stderr).toContain(`virtio: no device to judge at ${socket} over ${ways[n]}: `);
      expect(stderr).toContain(n === 1 && why === 'ended the connection' ? 'closed the connection' : why);
    }
  });

  it('needs to be named where it is one, and only there', async () => {
    for (const args of [
      ['vhost-user'],
      ['vfio-user', ''],
      ['loopback', 'x.sock'],
      ['vhost-user', 'x', '--limit', '0'],
    ]) {
      expect((await virtio(['check', 'device', ...args])).code).toBe(2);
    }
  });
});
