import { readFile } from 'node:fs/promises';
import { type Command, InvalidArgumentError } from 'commander';
import { writeFileAtomically } from '../machine/atomic-file.ts';
import { TransportError } from '../spec/fault.ts';
import { fileName } from './argument.ts';
import { requireReplaceable } from './output-file.ts';
import { type JsonTarget, writeReport } from './report.ts';
import { control } from './serve/control-socket.ts';
import type { DiskServerStatus } from './serve/disk-server.ts';
import { makeTable } from './table.ts';

const UNITS: Readonly<Record<string, number>> = { '': 1, K: 2 ** 10, M: 2 ** 20, G: 2 ** 30, T: 2 ** 40 };

const RESTORE_HELP = `
Over vhost-user that is before a machine connects, over vfio-user when one has connected and its driver has not begun.
A device that was saved while it was paused is paused: virtio continue lets it go on.`;

/** What is asked of a server that `virtio serve` runs, at its control socket. */
export function controlCommands(program: Command): void {
  const command = (name: string, description: string): Command =>
    program.command(name).description(description).argument('<socket>', 'its --control socket');
  command('status', 'how a served device is doing')
    .option('--json [file]', 'report it as JSON (standard output without a file)', fileName)
    .action(async (socket: string, { json }: { readonly json?: JsonTarget }) => {
      const status = (await control(socket, { command: 'status' })) as DiskServerStatus;
      if (json === undefined) process.stdout.write(`${statusTable(status)}\n`);
      else await writeReport(json, status);
    });
  command('pause', 'bring a served device to rest; its guest sees nothing but requests that take longer').action(
    async (socket: string) => void (await control(socket, { command: 'pause' })),
  );
  command('continue', 'let a paused device go on').action(
    async (socket: string) => void (await control(socket, { command: 'continue' })),
  );
  command('save', 'save the state of a device that is suspended or paused')
    .argument('<file>', 'where to', fileName)
    .action(async (socket: string, file: string) => {
      await requireReplaceable(file);
      const state = await control(socket, { command: 'save' });
      await writeFileAtomically(file, [new TextEncoder().encode(`${JSON.stringify(state)}\n`)]);
    });
  command('restore', 'give a device that was just made or reset a saved state; its guest has the memory of then')
    .argument('<file>', 'what save has written', fileName)
    .addHelpText('after', RESTORE_HELP)
    .action(async (socket: string, file: string) => {
      await control(socket, { command: 'restore', argument: await readState(file) });
    });
  command('resize', 'give a served disk another size; its guest is told')
    .argument('<size>', 'in bytes, a multiple of 512, or with K, M, G or T', size)
    .action(async (socket: string, bytes: number) => {
      await control(socket, { command: 'resize', argument: bytes });
    });
}

async function readState(file: string): Promise<unknown> {
  const text = await readFile(file, 'utf8').catch((cause: Error) => {
    throw new TransportError(`cannot read ${file}: ${cause.message}`, { cause });
  });
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new TransportError(`${file} holds no saved state: it is not JSON`, { cause });
  }
}

function size(text: string): number {
  const [, digits, unit] = /^(\d+)([KMGT]?)$/.exec(text) ?? [];
  const bytes = digits === undefined ? Number.NaN : Number(digits) * UNITS[unit ?? '']!;
  if (Number.isSafeInteger(bytes) && bytes > 0 && bytes % 512 === 0) return bytes;
  throw new InvalidArgumentError('it is a multiple of 512 bytes, as 1073741824 or 1G.');
}

function statusTable(status: DiskServerStatus): string {
  const { disk } = status;
  const rows: readonly (readonly [string, string | number])[] = [
    ['image', `${status.image}${disk.readOnly ? ', read-only' : ''}`],
    ['bytes', disk.bytes],
    [status.protocol, status.socket],
    ['connected', `${status.connected ? 'yes' : 'no'}, ${status.sessions} so far`],
    ['memory of the guest', `${status.memoryBytes} bytes`],
    ['device status', status.status],
    ['paused', status.paused ? 'yes' : 'no'],
    ['failure', status.failure ?? ''],
    ['in processing', status.inFlight],
    ['notifications', `${status.kicks} by the guest, ${status.interrupts} to it`],
    ...Object.entries(disk.counts).map(
      ([operation, { requests, bytes }]) => [operation, `${requests} requests, ${bytes} bytes`] as const,
    ),
    ['disk errors', disk.errors],
  ];
  const table = makeTable([]);
  table.push(...rows.map((row) => [...row]));
  return table.toString();
}
