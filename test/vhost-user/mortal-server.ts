import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

/** A server in a process of its own, to be killed; the next one takes its place. */
export class MortalServer {
  /** Events of all of its lives. */
  readonly events: { readonly event: string; readonly reason?: string; readonly requests?: number }[] = [];
  readonly #image: string;
  readonly #path: string;
  #child: ChildProcess | undefined;
  #onEvent: (() => void) | undefined;

  /** Requests that a life has left to the next one. */
  get resumed(): number {
    return this.events.reduce((sum, { requests = 0 }) => sum + requests, 0);
  }

  constructor(image: string, path: string) {
    this.#image = image;
    this.#path = path;
  }

  /** Resolves when it listens. */
  async start(): Promise<void> {
    const program = join(import.meta.dirname, 'file-server.mjs');
    const child = spawn(process.execPath, [program, this.#image, this.#path], { stdio: ['ignore', 'pipe', 'inherit'] });
    this.#child = child;
    createInterface({ input: child.stdout! }).on('line', (line) => {
      this.events.push(JSON.parse(line));
      this.#onEvent?.();
    });
    await this.until('listening');
  }

  /** Resolves at the next such event; rejects when the process ends before. */
  async until(event: string): Promise<void> {
    const from = this.events.length;
    await new Promise<void>((resolve, reject) => {
      this.#onEvent = () => {
        if (this.events.slice(from).some((each) => each.event === event)) resolve();
      };
      this.#child!.once('exit', (code) => reject(new Error(`the server has ended with code ${code}`)));
    });
    this.#onEvent = undefined;
  }

  /** Kills it in the middle of requests, or after `limitMs` all the same. */
  async kill(limitMs = 3000): Promise<void> {
    const child = this.#child!;
    if (child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGUSR2');
    const limit = setTimeout(() => child.kill('SIGKILL'), limitMs);
    await ended;
    clearTimeout(limit);
  }
}
