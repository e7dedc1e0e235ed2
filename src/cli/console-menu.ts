import { createInterface } from 'node:readline';
import type { Computer } from '../machine/computer.ts';
import { saveComputer } from './save.ts';
import { statusTable } from './status.ts';

const HELP = `  continue     let the guest go on (an empty line and Ctrl-D do the same)
  pause        stop the guest; it stays stopped until "continue"
  save FILE    save the whole machine; go on later with: virtio run --from FILE
  status       what the devices are doing
  quit         end the machine; what was not saved is gone
  help         this text
`;

/**
 * Asks for commands until one of them leads back to the guest or out, `end` is aborted, or the terminal is gone. Lines
 * that come while a command is at work wait for its end.
 */
export async function menu(computer: Computer, end: AbortSignal): Promise<'go on' | 'quit'> {
  const { stdin, stdout } = process;
  const lines = createInterface({ input: stdin, output: stdout });
  const close = (): void => lines.close();
  end.addEventListener('abort', close);
  const ask = (): void => {
    lines.setPrompt(`\n[${computer.paused ? 'paused' : 'running'}] virtio> `);
    lines.prompt();
  };
  // Ctrl-C drops a half-typed line; a habit must not end a machine.
  lines.on('SIGINT', () => {
    // As the keys for the end of the line and for all before it.
    lines.write(null, { ctrl: true, name: 'e' });
    lines.write(null, { ctrl: true, name: 'u' });
    ask();
  });
  try {
    ask();
    for await (const line of lines) {
      const [command = '', ...rest] = line.trim().split(/\s+/);
      if (command === 'quit') return 'quit';
      if (command === '' || command === 'continue') break;
      await runCommand(computer, command, rest.join(' '));
      ask();
    }
  } finally {
    end.removeEventListener('abort', close);
    lines.close();
  }
  if (stdin.readableEnded || end.aborted) return 'quit';
  computer.continue();
  stdout.write('\n[back in the guest]\n');
  return 'go on';
}

/** A command that leaves the menu open. Whatever goes wrong is told; the machine is as before. */
async function runCommand(computer: Computer, command: string, argument: string): Promise<void> {
  const { stdout } = process;
  try {
    if (command === 'pause') await computer.pause();
    else if (command === 'status') stdout.write(`${statusTable(computer)}\n`);
    else if (command === 'help') stdout.write(HELP);
    else if (command !== 'save') stdout.write(`there is no command "${command}":\n${HELP}`);
    else if (argument === '') stdout.write('save needs the name of a file: save FILE\n');
    else stdout.write(`${await saveComputer(computer, argument)}\n`);
  } catch (error) {
    stdout.write(`${command}: ${error instanceof Error ? error.message : String(error)}\n`);
  }
}
