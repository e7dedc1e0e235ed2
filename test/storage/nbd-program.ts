import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { connect } from 'node:net';
import { onTestFinished } from 'vitest';
import { hasProgram } from '../support/programs.ts';

/** Without it the tests of `qemu-nbd` are skipped. */
export const hasQemuNbd: boolean = hasProgram('qemu-nbd', 'qemu-utils');

/** A server of somebody else's that runs until the end of the test at the latest. */
export class NbdProgram {
  readonly #command: string;
  readonly #args: readonly string[];
  readonly #socket: string;
  #child!: ChildProcess;

  private constructor(socket: string, command: string, args: readonly string[]) {
    this.#socket = socket;
    this.#command = command;
    this.#args = args;
  }

  /** nbdkit in the foreground, at a socket. */
  static nbdkit(socket: string, ...args: readonly string[]): Promise<NbdProgram> {
    return NbdProgram.#start(socket, 'nbdkit', ['--foreground', '--unix', socket, ...args]);
  }

  /** qemu-nbd, with a raw image as the export `disk`. */
  static qemuNbd(socket: string, image: string): Promise<NbdProgram> {
    const args = ['--persistent', '--shared=8', '--format=raw', '--export-name=disk', `--socket=${socket}`, image];
    return NbdProgram.#start(socket, 'qemu-nbd', args);
  }

  static async #start(socket: string, command: string, args: readonly string[]): Promise<NbdProgram> {
    const program = new NbdProgram(socket, command, args);
    await program.start();
    onTestFinished(() => program.kill());
    return program;
  }

  /** Starts it, again if it was killed; resolves when it listens. */
  async start(): Promise<void> {
    rmSync(this.#socket, { force: true });
    const child = spawn(this.#command, this.#args, { stdio: ['ignore', 'ignore', 'pipe'] });
    let said = '';
    child.stderr!.setEncoding('utf8').on('data', (text: string) => (said += text));
    this.#child = child;
    while (!(await isListening(this.#socket))) {
      if (child.exitCode !== null) throw new Error(`${this.#command} ended: ${said}`);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }

  /** As by `kill -9`; resolves when it has ended. */
  async kill(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const exit = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await exit;
  }
}

function isListening(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.on('error', () => resolve(false));
    socket.on('connect', () => {
      socket.destroy();
      resolve(true);
    });
  });
}
