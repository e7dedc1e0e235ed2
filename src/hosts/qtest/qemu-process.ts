import { type ChildProcess, spawn } from 'node:child_process';
import { TransportError } from '../../spec/fault.ts';

/** How much of what QEMU printed an error repeats. */
const COMPLAINT_CHARACTERS = 2000;

/** A QEMU that was started from here, and what it says on standard error. */
export class QemuProcess {
  /** Why it ended; resolves when it has, and all that it said was read. */
  readonly ended: Promise<TransportError>;
  readonly #child: ChildProcess;
  #said = '';

  constructor(program: string, commandLine: readonly string[]) {
    this.#child = spawn(program, commandLine, { stdio: ['ignore', 'ignore', 'pipe'] });
    this.#child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      this.#said = (this.#said + text).slice(-COMPLAINT_CHARACTERS);
    });
    this.ended = new Promise((resolve) => {
      this.#child.once('error', ({ message }) => {
        resolve(new TransportError(`QEMU cannot be started: ${message}. Install qemu-system-x86`));
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
