import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';

const src = resolve(import.meta.dirname, '../../src');

/** What each folder may import besides itself. The same table is in docs/architecture.md. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  spec: [],
  unix: ['spec'],
  memory: ['spec'],
  queue: ['spec', 'memory'],
  device: ['spec', 'memory', 'queue'],
  driver: ['spec', 'memory', 'queue', 'device/clock.ts'],
  devices: ['spec', 'memory', 'queue', 'device', 'driver'],
  transports: ['spec', 'memory', 'queue', 'device', 'driver'],
  storage: ['spec', 'unix', 'devices/block/disk.ts'],
  hosts: ['spec', 'unix', 'memory', 'queue', 'device', 'driver', 'devices', 'transports', 'storage'],
  machine: ['spec', 'memory', 'device', 'devices', 'transports', 'storage', 'hosts/v86'],
  monitor: ['spec'],
  record: ['spec', 'memory', 'queue', 'device', 'driver', 'transports', 'monitor'],
  cli: [
    'spec',
    'unix',
    'memory',
    'queue',
    'device',
    'driver',
    'devices',
    'transports',
    'storage',
    'hosts',
    'machine',
    'monitor',
    'record',
  ],
};

/** Who may import Node's own modules and `unix`, and which packages from npm. */
const PLATFORM: Readonly<Record<string, readonly string[]>> = {
  'storage/file.ts': [],
  'storage/mapped.ts': [],
  'storage/nbd': [],
  'storage/node/': ['fs-native-extensions'],
  'hosts/loopback/node': [],
  'hosts/qtest/': [],
  'hosts/vfio-user/': [],
  'hosts/vhost-user/': [],
  'unix/': ['koffi'],
  'machine/': ['v86'],
  'cli/': ['cli-table3', 'commander', 'listr2', 'prom-client'],
};

interface Import {
  readonly from: string;
  readonly to: string;
}

const files = readdirSync(src, { recursive: true, encoding: 'utf8' })
  .map((file) => file.replaceAll('\\', '/'))
  .filter((file) => file.endsWith('.ts'));

const imports: readonly Import[] = files.flatMap((from) => {
  const text = readFileSync(join(src, from), 'utf8');
  const statements = text.matchAll(
    /^(?:import|export)\b[^;']*?\bfrom\s*'([^']+)'|^import\s*'([^']+)'|\bimport\(\s*'([^']+)'/gm,
  );
  return [...statements].map(([, named, bare, dynamic]) => ({ from, to: (named ?? bare ?? dynamic)! }));
});

const local = imports
  .filter(({ to }) => to.startsWith('.'))
  .map(({ from, to }) => ({ from, to: relative(src, resolve(src, dirname(from), to)).replaceAll('\\', '/') }));

describe('the layers', () => {
  it('are seen at all', () => {
    expect(files.length).toBeGreaterThan(80);
    expect(local.length).toBeGreaterThan(300);
    expect(new Set(files.map((file) => file.split('/')[0]))).toEqual(new Set(Object.keys(MAY_IMPORT)));
  });

  it('import only what is below them', () => {
    const wrong = local.filter(({ from, to }) => {
      const folder = from.split('/')[0]!;
      if (to.startsWith(`${folder}/`)) return false;
      return !MAY_IMPORT[folder]!.some((allowed) => to === allowed || to.startsWith(`${allowed}/`));
    });
    expect(wrong).toEqual([]);
  });

  it('keep device types and hosts apart from each other', () => {
    const wrong = local.filter(({ from, to }) => {
      const [folder, room] = from.split('/');
      const [otherFolder, otherRoom] = to.split('/');
      return folder === otherFolder && (folder === 'devices' || folder === 'hosts') && room !== otherRoom;
    });
    expect(wrong).toEqual([]);
  });

  it('leave the platform and npm to the outer rooms', () => {
    const wrong = imports
      .filter(({ to }) => !to.startsWith('.'))
      .filter(({ from, to }) => {
        const room = Object.keys(PLATFORM).find((start) => from.startsWith(start));
        if (room === undefined) return true;
        return !to.startsWith('node:') && !PLATFORM[room]!.includes(to);
      });
    expect(wrong).toEqual([]);
    const toUnix = local.filter(({ from, to }) => to.startsWith('unix/') && !from.startsWith('unix/'));
    expect(toUnix.filter(({ from }) => !Object.keys(PLATFORM).some((start) => from.startsWith(start)))).toEqual([]);
  });

  it('import files, not the index of a folder', () => {
    expect(local.filter(({ to }) => to.endsWith('index.ts'))).toEqual([]);
  });
});

describe('files', () => {
  it('have at most 400 lines', () => {
    const long = files.filter((file) => readFileSync(join(src, file), 'utf8').split('\n').length > 401);
    expect(long).toEqual([]);
  });
});
