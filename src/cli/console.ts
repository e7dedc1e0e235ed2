import { createInterface } from 'node:readline/promises';
import type { Computer } from '../machine/computer.ts';
import { describeStatus } from '../spec/status.ts';
import { makeTable } from './table.ts';

/** Ctrl-], as in telnet. */
const ESCAPE = 0x1d;
const HELP = `  continue     let the guest go on (an empty line does the same)
  pause        stop the guest; it stays stopped until "continue"
  save FILE    save the whole machine; go on later with: virtio run --from FILE
  status       what the devices are doing
  quit         end the machine; what was not saved is gone
  help         this text
`;

/**
 * Attaches this terminal to the guest's first serial line until the user quits or the input ends. On a terminal Ctrl-]
 * stops the attachment for a menu; the guest goes on meanwhile unless it is paused.
 */
export async function attachConsole(computer: Computer): Promise<void> {
  const { stdin, stdout } = process;
  const stopOutput = computer.machine.serial.onData((bytes) => stdout.write(bytes));
  try {
    if (!stdin.isTTY) {
      await pipeInput(computer);
      return;
    }
    stdout.write('[Ctrl-] opens the menu: pause, continue, save, status, quit]\n');
    computer.machine.serial.send('\n');
    while ((await typeUntilEscape(computer)) && (await menu(computer)) === 'go on');
  } finally {
    stopOutput();
  }
}

/** Sends what is piped in; when it ends the machine ends. */
async function pipeInput(computer: Computer): Promise<void> {
  for await (const bytes of process.stdin as AsyncIterable<Buffer>) computer.machine.serial.send(bytes);
}

/** Sends what is typed, key by key. Resolves to true at the escape key, to false when the terminal is gone. */
function typeUntilEscape(computer: Computer): Promise<boolean> {
  const { stdin } = process;
  stdin.setRawMode(true);
  stdin.resume();
  return new Promise((resolve) => {
    const end = (escaped: boolean): void => {
      stdin.off('data', onData);
      stdin.off('end', onEnd);
      stdin.setRawMode(false);
      stdin.pause();
      resolve(escaped);
    };
    const onEnd = (): void => end(false);
    const onData = (bytes: Buffer): void => {
      const at = bytes.indexOf(ESCAPE);
      const typed = at < 0 ? bytes : bytes.subarray(0, at);
      if (typed.length > 0) computer.machine.serial.send(typed);
      if (at >= 0) end(true);
    };
    stdin.on('data', onData);
    stdin.on('end', onEnd);
  });
}

/** Asks for commands until one of them leads back to the guest or out. */
async function menu(computer: Computer): Promise<'go on' | 'quit'> {
  const lines = createInterface({ input: process.stdin, output: process.stdout });
  try {
    for (;;) {
      const state = computer.paused ? 'paused' : 'running';
      const [command = '', ...rest] = (await lines.question(`\n[${state}] virtio> `)).trim().split(/\s+/);
      if (command === 'quit') return 'quit';
      if (command === '' || command === 'continue') {
        computer.continue();
        return 'go on';
      }
      await runCommand(computer, command, rest.join(' '));
    }
  } catch (error) {
    // The terminal went away in the middle of a question.
    if (error instanceof Error && error.name === 'AbortError') return 'quit';
    throw error;
  } finally {
    lines.close();
  }
}

/** A command that leaves the menu open. Whatever goes wrong is told; the machine is as before. */
async function runCommand(computer: Computer, command: string, argument: string): Promise<void> {
  try {
    if (command === 'pause') await computer.pause();
    else if (command === 'status') process.stdout.write(`${statusTable(computer)}\n`);
    else if (command === 'save' && argument !== '') {
      await computer.save(argument);
      process.stdout.write(`saved in ${argument}\n`);
    } else
      process.stdout.write(
        command === 'help'
          ? HELP
          : `there is no command "${command}${argument === '' ? '' : ` ${argument}`}":\n${HELP}`,
      );
  } catch (error) {
    process.stdout.write(`${command}: ${error instanceof Error ? error.message : String(error)}\n`);
  }
}

/** What the devices are doing, as plain values. */
export function status(computer: Computer): {
  readonly paused: boolean;
  readonly disks: readonly Record<string, unknown>[];
} {
  return {
    paused: computer.paused,
    disks: computer.disks.map(({ path, writesTo, disk, device, overlay }) => ({
      path,
      writesTo,
      bytes: disk.capacitySectors * 512,
      status: describeStatus(device.status),
      inFlight: device.inFlight,
      overlayBytes: overlay?.statistics.dirtyBytes ?? null,
      failure: device.failure?.message ?? null,
    })),
  };
}

function statusTable(computer: Computer): string {
  const table = makeTable(['disk', 'writes go to', 'bytes', 'device status', 'in flight', 'in the overlay']);
  for (const disk of status(computer).disks) {
    const { path, writesTo, bytes, status: shown, inFlight, overlayBytes } = disk;
    table.push([
      String(path),
      String(writesTo),
      String(bytes),
      String(shown),
      String(inFlight),
      String(overlayBytes ?? ''),
    ]);
  }
  return table.toString();
}
