#!/usr/bin/env node
import { readFileSync } from 'node:fs';
import { Command, CommanderError } from 'commander';
import { checkCommand } from './check.ts';
import { controlCommands } from './control.ts';
import { demoCommand } from './demo.ts';
import { ExitCode } from './exit-code.ts';
import { guestCommand } from './guest.ts';
import { runCommand } from './run.ts';
import { serveCommand } from './serve.ts';

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
demoCommand(program);
runCommand(program);
guestCommand(program);
checkCommand(program);
serveCommand(program);
controlCommands(program);
refuseWithHint(program, 'virtio');

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
// An emulator that was destroyed may leave a timer behind, which would hold the process.
process.exit();
