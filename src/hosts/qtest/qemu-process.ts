import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { promisify } from 'node:util';
import { TransportError } from '../../spec/fault.ts';

/** How much of what QEMU printed an error repeats. */
const COMPLAINT_CHARACTERS = 2000;

const SAY_LIMIT_MS = 30_000;

/** A QEMU that was started from here, and what it says on standard error. */
export class QemuProcess {
  /** Why it ended; resolves when it has, and all that it said was read. */
  readonly ended: Promise<TransportError>;
  readonly #child: ChildProcess;
  #said = '';

  /** It is killed when `signal` is aborted. */
  constructor(program: string, commandLine: readonly string[], signal?: AbortSignal) {
    this.#child = spawn(program, commandLine, { stdio: ['ignore', 'ignore', 'pipe'], signal, killSignal: 'SIGKILL' });
    this.#child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      this.#said = (this.#said + text).slice(-COMPLAINT_CHARACTERS);
    });
    this.ended = new Promise((resolve) => {
      this.#child.once('error', ({ message }) => {
        resolve(cannotStart(message));
      });
      this.#child.once('close', (code, signal) => {
        resolve(new TransportError(`QEMU ended with ${signal ?? `exit code ${code}`}: ${this.#said.trim()}`));
      });
    });
  }

  async end(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.ended;
  }
}

/** What a QEMU says and ends: its version, or what one of its devices can be told. Rejects with TransportError. */
export async function qemuSays(program: string, ...commandLine: readonly string[]): Promise<string> {
  const { stdout } = await promisify(execFile)(program, commandLine, { timeout: SAY_LIMIT_MS }).catch(
    ({ message }: Error) => {
      throw cannotStart(message.trim());
    },
  );
  return stdout;
}

function cannotStart(why: string): TransportError {
  return new TransportError(`QEMU cannot be started: ${why}. Install qemu-system-x86`);
}
