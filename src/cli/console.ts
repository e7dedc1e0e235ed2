import { setTimeout } from 'node:timers/promises';
import type { Computer } from '../machine/computer.ts';
import { menu } from './console-menu.ts';
import { ExitCode } from './exit-code.ts';
import { watchGuestEnd } from './guest-end.ts';
import { onSignal } from './signals.ts';

/** Ctrl-], as in telnet. */
const ESCAPE = 0x1d;
/** Ctrl-D: the end of the input, for whoever reads it in the guest. */
const END_OF_INPUT = '\x04';
/** How long a guest may take to answer before it counts as silent: so many times what it took when all was well, within limits. */
const SILENCE = { answers: 30, leastMs: 3000, mostMs: 20_000 };
/** What is piped in goes at the pace of a line of 115200 baud: what the guest has not read yet is kept in memory. */
const PIPED_BYTES = 256;
const PIPED_MS = 22;

/** Prints the process number of the shell on the console (tty 4:64), as soon as there is one. */
const FIND_SHELL = `while :; do
  for stat in /proc/[0-9]*/stat; do
    read -r pid name state parent group session tty rest <"$stat" && [ "$tty" = 1088 ] && [ "$session" = "$pid" ] &&
      echo "$pid" && exit
  done 2>/dev/null
  sleep 0.1
done`;

/**
 * Attaches this terminal to the guest's first serial line until the user quits, the input ends, the output is closed or
 * the guest is through. On a terminal Ctrl-] stops the attachment for a menu; the guest goes on meanwhile unless it is paused.
 */
export async function attachConsole(computer: Computer): Promise<void> {
  const { stdin, stdout } = process;
  const stopOutput = computer.machine.serial.onData((bytes) => stdout.write(bytes));
  const end = new AbortController();
  const asked = performance.now();
  await computer.machine.command('true');
  const patience = SILENCE.answers * (performance.now() - asked);
  const limitMs = Math.min(Math.max(patience, SILENCE.leastMs), SILENCE.mostMs);
  const stopWatching = watchGuestEnd(computer, (words) => void endIfSilent(computer, words, limitMs, end));
  const onClosed = (): void => end.abort();
  stdout.once('error', onClosed);
  try {
    if (stdin.isTTY) await useTerminal(computer, end.signal);
    else await pipeInput(computer, end.signal);
  } finally {
    stdout.off('error', onClosed);
    stopWatching();
    stopOutput();
  }
}

/** Words alone end nothing, for anybody can print them: a guest that still runs commands is not through. */
async function endIfSilent(
  computer: Computer,
  lastWords: string,
  limitMs: number,
  end: AbortController,
): Promise<void> {
  const answer = computer.machine.command('true').then(
    () => 'alive',
    () => 'silent',
  );
  const limit = setTimeout(limitMs, 'silent', { signal: end.signal }).catch(() => 'over');
  // A guest that was paused meanwhile cannot answer.
  if ((await Promise.race([answer, limit])) !== 'silent' || computer.paused) return;
  process.stdout.write(`\n[the guest has ended: ${lastWords}]\n`);
  if (lastWords.includes('panic')) process.exitCode = ExitCode.FAILED;
  end.abort();
}

async function useTerminal(computer: Computer, end: AbortSignal): Promise<void> {
  process.stdout.write('[Ctrl-] opens the menu: pause, continue, save, status, quit]\n');
  computer.machine.serial.send('\n');
  while ((await typeUntilEscape(computer, end)) === 'escape' && (await menu(computer, end)) === 'go on');
}

/**
 * Sends what is piped in, then the end of input, and waits until the guest's shell has come to that. The end is sent
 * again and again: a program in the guest that reads its input may take it for its own.
 */
async function pipeInput(computer: Computer, end: AbortSignal): Promise<void> {
  const { serial } = computer.machine;
  const aborted = new Promise<void>((resolve) => end.addEventListener('abort', () => resolve()));
  const typeAll = async (): Promise<void> => {
    const shell = (await computer.machine.command(FIND_SHELL)).output.trim();
    for await (const bytes of process.stdin as AsyncIterable<Buffer>) {
      for (let at = 0; at < bytes.length && !end.aborted; at += PIPED_BYTES) {
        serial.send(bytes.subarray(at, at + PIPED_BYTES));
        await setTimeout(PIPED_MS);
      }
    }
    while (!end.aborted) {
      serial.send(END_OF_INPUT);
      // The wait at the end is for what the shell has printed last, which comes over another line than this answer.
      const ended = `n=0; while [ -d /proc/${shell} ]; do [ $n = 3 ] && exit 1; n=$((n + 1)); sleep 0.1; done; sleep 0.3`;
      if ((await computer.machine.command(ended)).exitCode === 0) return;
    }
  };
  await Promise.race([typeAll(), aborted]);
}

/** Sends what is typed, key by key, until the escape key, or until the terminal or the guest is gone. */
function typeUntilEscape(computer: Computer, ended: AbortSignal): Promise<'escape' | 'end'> {
  const { stdin } = process;
  if (ended.aborted) return Promise.resolve('end');
  stdin.setRawMode(true);
  const stopWatching = onSignal(() => stdin.setRawMode(false));
  stdin.resume();
  return new Promise((resolve) => {
    const end = (how: 'escape' | 'end'): void => {
      stdin.off('data', onData);
      stdin.off('end', onEnd);
      ended.removeEventListener('abort', onEnd);
      stdin.setRawMode(false);
      stopWatching();
      stdin.pause();
      resolve(how);
    };
    const onEnd = (): void => end('end');
    const onData = (bytes: Buffer): void => {
      const at = bytes.indexOf(ESCAPE);
      const typed = at < 0 ? bytes : bytes.subarray(0, at);
      if (typed.length > 0) computer.machine.serial.send(typed);
      if (at < 0) return;
      end('escape');
      // What was pasted after it is for the menu.
      if (at + 1 < bytes.length) stdin.unshift(bytes.subarray(at + 1));
    };
    stdin.on('data', onData);
    stdin.on('end', onEnd);
    ended.addEventListener('abort', onEnd);
  });
}
