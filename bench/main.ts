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
  'vhost-direct': async () => (await import('./vhost-direct.ts')).vhostDirectSuite(),
  memory: async () => (await import('./memory.ts')).memorySuite(),
  disk: async () => (await import('./disk.ts')).diskSuite(),
  allocation: async () => (await import('./allocation.ts')).allocationSuite(),
};

const COLUMNS = ['row', 'ours', 'peer', 'ratio', 'unit', 'goal', 'met'];

const program = new Command('bench')
  .description('Measures virtio-ts: figures are ratios or bounds within one run, on this machine.')
  .option('--suite <name...>', `run only these: ${Object.keys(SUITES).join(', ')}`)
  .option('--json <file>', 'also write the rows as JSON')
  .option('--markdown', 'print the tables as docs/performance.md has them')
  .parse();

const options = program.opts<{ suite?: string[]; json?: string; markdown?: true }>();
const { suite: wanted = Object.keys(SUITES), json, markdown } = options;
const unknown = wanted.filter((name) => SUITES[name] === undefined);
if (unknown.length > 0)
  program.error(`no suite "${unknown.join(', ')}"; there are ${Object.keys(SUITES).join(', ')}`, { exitCode: 2 });

const rows: Row[] = [];
for (const name of wanted) {
  process.stderr.write(`${name} …\n`);
  rows.push(...(await SUITES[name]!()));
}

process.stdout.write(markdown ? inMarkdown(rows) : inTable(rows));
if (json !== undefined) writeFileSync(json, `${JSON.stringify(rows, null, 2)}\n`);

function inTable(rows: readonly Row[]): string {
  const table = new Table({ head: ['suite', ...COLUMNS] });
  for (const row of rows) table.push([row.suite, ...cells(row)]);
  return `${table}\n`;
}

function inMarkdown(rows: readonly Row[]): string {
  const line = (texts: readonly string[]): string => `| ${texts.join(' | ')} |\n`;
  const head = line(COLUMNS) + line(COLUMNS.map(() => '---'));
  return [...new Set(rows.map((row) => row.suite))]
    .map((suite) => rows.filter((row) => row.suite === suite))
    .map((of) => `${of[0]!.suite}:\n\n${head}${of.map((row) => line(cells(row))).join('')}\n`)
    .join('');
}

function cells({ row, ours, peer, ratio, unit, goal, met }: Row): string[] {
  const kept = met === null ? '' : met ? 'yes' : 'NO';
  return [
    row,
    ours.toLocaleString('en'),
    peer?.toLocaleString('en') ?? '',
    ratio?.toString() ?? '',
    unit,
    goal ?? '',
    kept,
  ];
}
