import { writeFileSync } from 'node:fs';
import Table from 'cli-table3';
import { Command } from 'commander';
import type { Row } from './row.ts';

/** Each suite is loaded when it is run: they do not disturb each other's compiled code. */
const SUITES: Readonly<Record<string, () => Promise<Row[]>>> = {
  queue: async () => (await import('./queue.ts')).queueSuite(),
  loopback: async () => (await import('./loopback.ts')).loopbackSuite(),
  suspend: async () => (await import('./suspend.ts')).suspendSuite(),
  'vfio-user': async () => (await import('./vfio-user.ts')).vfioUserSuite(),
  'vhost-suspend': async () => (await import('./vhost-suspend.ts')).vhostSuspendSuite(),
  vhost: async () => (await import('./vhost.ts')).vhostSuite(),
  disk: async () => (await import('./disk.ts')).diskSuite(),
  allocation: async () => (await import('./allocation.ts')).allocationSuite(),
};

const program = new Command('bench')
  .description('Measures virtio-ts: figures are ratios or bounds within one run, on this machine.')
  .option('--suite <name...>', `run only these: ${Object.keys(SUITES).join(', ')}`)
  .option('--json <file>', 'also write the rows as JSON')
  .parse();

const { suite: wanted = Object.keys(SUITES), json } = program.opts<{ suite?: string[]; json?: string }>();
const unknown = wanted.filter((name) => SUITES[name] === undefined);
if (unknown.length > 0)
  program.error(`no suite "${unknown.join(', ')}"; there are ${Object.keys(SUITES).join(', ')}`, { exitCode: 2 });

const rows: Row[] = [];
for (const name of wanted) {
  process.stderr.write(`${name} …\n`);
  rows.push(...(await SUITES[name]!()));
}

const table = new Table({ head: ['suite', 'row', 'ours', 'peer', 'ratio', 'unit', 'goal', 'met'] });
for (const { suite, row, ours, peer, ratio, unit, goal, met } of rows) {
  table.push([suite, row, ours, peer ?? '', ratio ?? '', unit, goal ?? '', met === null ? '' : met ? 'yes' : 'NO']);
}
process.stdout.write(`${table}\n`);
if (json !== undefined) writeFileSync(json, `${JSON.stringify(rows, null, 2)}\n`);
