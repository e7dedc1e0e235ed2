import { resolve } from 'node:path';
import { type Command, InvalidArgumentError } from 'commander';
import { isNbdUri, parseNbdUri } from '../storage/nbd/uri.ts';
import { fileName, wholeNumber } from './argument.ts';
import { ExitCode } from './exit-code.ts';
import { type Protocol, serveDisk } from './serve/disk-server.ts';
import type { ImageAccess } from './serve/open-disk.ts';

interface ServeBlockOptions {
  readonly image: string;
  readonly vhostUser?: string;
  readonly vfioUser?: string;
  readonly readOnly?: boolean;
  readonly mapped?: boolean;
  readonly shared?: boolean;
  readonly direct?: boolean;
  readonly queues: number;
  readonly pollUs?: number;
  readonly trace?: string;
  readonly control?: string;
  readonly metrics?: string | number;
}

const MOST_QUEUES = 64;
const MOST_POLL_US = 1_000_000;
const MOST_PORT = 65_535;

const HELP = `
QEMU, with a disk over vhost-user (any version; the guest's memory has to be shared):
  virtio serve block --image disk.img --vhost-user /tmp/disk.sock
  qemu-system-x86_64 -m 512 -object memory-backend-memfd,id=ram,size=512M,share=on -machine q35,memory-backend=ram \\
    -chardev socket,id=disk,path=/tmp/disk.sock -device vhost-user-blk-pci,chardev=disk ...

Over vfio-user (QEMU 10.1 and later) the whole PCI function is served, so that a driver can suspend it:
  virtio serve block --image disk.img --vfio-user /tmp/disk.sock
  qemu-system-x86_64 ... -device '{"driver":"vfio-user-pci","socket":{"type":"unix","path":"/tmp/disk.sock"}}'

SIGTERM and SIGINT let what is in processing end, for 5 s at most, then close. Events are lines of JSON on standard output.
Programs can use the control socket, too: a line of JSON as {"command":"resize","argument":1073741824} is answered by one
with "ok" and "result" or "error".

Exit code: 0 when it was ended by a signal; 1 when something failed; 2 for a wrong command line.`;

export function serveCommand(program: Command): void {
  const serve = program.command('serve').description('serve a device to a virtual machine of another program, as QEMU');
  const command = serve
    .command('block')
    .description('serve a disk')
    .requiredOption(
      '--image <file>',
      'a raw image, or an NBD server: nbd://host:port/export, nbd+unix:///export?socket=PATH',
      fileName,
    )
    .option('--vhost-user <socket>', 'serve it over vhost-user, at this path', fileName)
    .option('--vfio-user <socket>', 'serve it over vfio-user, at this path', fileName)
    .option('--read-only', 'the guest cannot write')
    .option(
      '--mapped',
      'map the image into memory: faster where most of it is in the page cache; not for images that somebody may cut off',
    )
    .option(
      '--direct',
      'read and write the image past the page cache (O_DIRECT): for images that are read once, or larger than memory; not on tmpfs',
    )
    .option(
      '--shared',
      'other servers with --shared may have the image open, too, as the other end of a live migration; that one writes at a time is yours to see to',
    )
    .option('--queues <n>', 'virtqueues', wholeNumber(1, MOST_QUEUES), 1)
    .option(
      '--poll-us <n>',
      'how long to look for requests before waiting for the next, in microseconds; only over vhost-user (default: 50)',
      wholeNumber(0, MOST_POLL_US),
    )
    .option(
      '--trace <file>',
      'record what the driver and the device do, for virtio check trace; only over vfio-user, and slower',
      fileName,
    )
    .option('--control <socket>', 'listen here for virtio status, pause, continue, save, restore and resize', fileName)
    .option(
      '--metrics <where>',
      'serve /metrics for Prometheus, at a port of this machine or a Unix socket',
      portOrPath,
    )
    .addHelpText('after', HELP)
    .hook('preAction', () => {
      const { image, mapped, direct, shared, vhostUser, vfioUser, pollUs, trace } = command.opts<ServeBlockOptions>();
      if ((vhostUser === undefined) === (vfioUser === undefined)) {
        command.error('error: one of --vhost-user and --vfio-user is needed.');
      }
      if (isNbdUri(image)) requireNbdUri(command, image);
      for (const [name, given] of Object.entries({ mapped, direct, shared })) {
        if (given && isNbdUri(image)) command.error(`error: --${name} is for files; --image names a server.`);
      }
      if (mapped && direct) command.error('error: --mapped is by the page cache, --direct past it: one of them.');
      if (vfioUser !== undefined && pollUs !== undefined) {
        command.error('error: --poll-us goes with --vhost-user; over vfio-user kicks are messages.');
      }
      if (vhostUser !== undefined && trace !== undefined) {
        command.error("error: --trace goes with --vfio-user; over vhost-user the registers are the front-end's.");
      }
    })
    .action(serveBlock);
}

function requireNbdUri(command: Command, text: string): void {
  try {
    parseNbdUri(text);
  } catch (error) {
    command.error(`error: --image ${(error as Error).message}`);
  }
}

async function serveBlock(options: ServeBlockOptions): Promise<void> {
  const protocol: Protocol = options.vhostUser === undefined ? 'vfio-user' : 'vhost-user';
  const socket = resolve((options.vhostUser ?? options.vfioUser)!);
  const image = isNbdUri(options.image) ? options.image : resolve(options.image);
  const { queues, pollUs, readOnly = false, shared = false } = options;
  const access: ImageAccess = options.mapped ? 'mapped' : options.direct ? 'direct' : 'cached';
  let onLost!: (error: Error) => void;
  const lost = new Promise<never>((_, reject) => {
    onLost = reject;
  });
  // It is looked at below, once there is something to close.
  lost.catch(() => {});
  const trace = options.trace === undefined ? undefined : resolve(options.trace);
  const served = { protocol, socket, image, readOnly, access, shared, queues, pollUs, trace };
  const disk = await serveDisk({ ...served, onEvent: log, onLost });
  const closers: { close(): unknown }[] = [disk];
  try {
    if (options.control !== undefined) {
      const { serveControl } = await import('./serve/control-socket.ts');
      closers.push(await serveControl(resolve(options.control), disk));
    }
    if (options.metrics !== undefined) {
      const { serveMetrics } = await import('./serve/metrics.ts');
      closers.push(await serveMetrics(options.metrics, disk));
    }
    const found = (await disk.status()).disk;
    // Whoever reads that it listens may end it at once.
    const signal = endSignal();
    log('listening', {
      ...{ protocol, socket, image, bytes: found.bytes, readOnly: found.readOnly, access, queues },
      pid: process.pid,
    });
    log('ending', { signal: await Promise.race([signal, lost]) });
  } finally {
    await closeAll(closers);
  }
  log('ended');
  process.exitCode = ExitCode.OK;
}

/** What asks the server is closed before the server. A second signal ends the process at once. */
async function closeAll(closers: readonly { close(): unknown }[]): Promise<void> {
  for (const closer of closers.toReversed()) await closer.close();
}

function endSignal(): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => resolve(signal));
  });
}

/** One line for each event, for programs. */
function log(event: string, details: Readonly<Record<string, unknown>> = {}): void {
  process.stdout.write(`${JSON.stringify({ time: new Date().toISOString(), event, ...details })}\n`);
}

function portOrPath(text: string): string | number {
  if (!/^\d+$/.test(text)) return resolve(fileName(text));
  if (Number(text) > MOST_PORT) throw new InvalidArgumentError(`ports go up to ${MOST_PORT}.`);
  return Number(text);
}
