#!/usr/bin/env node
import { readFileSync } from 'node:fs';
import { Command, CommanderError } from 'commander';
import { ExitCode } from './exit-code.ts';

type AddCommands = (program: Command) => void;

const control = async (): Promise<AddCommands> => (await import('./control.ts')).controlCommands;

/** By the name of a command what adds it. Only what is asked for is loaded: a server keeps all of it in memory. */
const commands: Readonly<Record<string, () => Promise<AddCommands>>> = {
  demo: async () => (await import('./demo.ts')).demoCommand,
  run: async () => (await import('./run.ts')).runCommand,
  guest: async () => (await import('./guest.ts')).guestCommand,
  check: async () => (await import('./check.ts')).checkCommand,
  serve: async () => (await import('./serve.ts')).serveCommand,
  ...{ status: control, pause: control, continue: control, save: control, restore: control, resize: control },
};

const { version, description } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
  version: string;
  description: string;
};

// Whoever reads our output may stop, as `head` does; the work goes on, and only the rest of the output is lost.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
});

const program = new Command('virtio')
  .description(description)
  .version(version)
  .showHelpAfterError('(virtio --help says what there is)')
  .exitOverride()
  .configureHelp({ showGlobalOptions: true });
for (const add of await wantedCommands(process.argv[2])) add(program);
refuseWithHint(program, 'virtio');

/** All of them for what is none, so that help and hints know them. */
async function wantedCommands(name = ''): Promise<Iterable<AddCommands>> {
  const wanted = Object.hasOwn(commands, name) ? [commands[name]!] : Object.values(commands);
  return new Set(await Promise.all(wanted.map((load) => load())));
}

/** Commands, and those below them, end like the program itself, and say where there is help. */
function refuseWithHint(parent: Command, name: string): void {
  for (const command of parent.commands) {
    const path = `${name} ${command.name()}`;
    command.exitOverride().showHelpAfterError(`(${path} --help says what there is)`);
    refuseWithHint(command, path);
  }
}

try {
  await program.parseAsync();
} catch (error) {
  if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? ExitCode.OK : ExitCode.USAGE;
  else {
    process.stderr.write(`virtio: ${error instanceof Error ? error.message : String(error)}\n`);
    if (process.env['VIRTIO_DEBUG'] !== undefined && error instanceof Error) process.stderr.write(`${error.stack}\n`);
    process.exitCode = ExitCode.FAILED;
  }
}
await Promise.all([process.stdout, process.stderr].map(written));
// An emulator that was destroyed may leave a timer behind, which would hold the process.
process.exit();

/** A pipe takes 64 KiB at once; more waits for its reader, and an end of this process would cut it off. */
function written(stream: NodeJS.WriteStream): Promise<void> {
  return new Promise((resolve) => {
    if (stream.destroyed || stream.errored !== null) resolve();
    else stream.write('', () => resolve());
  });
}
