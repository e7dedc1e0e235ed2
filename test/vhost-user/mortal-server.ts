import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

export interface MortalServerEvent {
  readonly event: string;
  readonly reason?: string;
  readonly requests?: number;
}

/** A server in a process of its own, to be killed; the next one takes its place. */
export class MortalServer {
  /** Events of all of its lives, which it prints as lines of JSON. */
  readonly events: MortalServerEvent[] = [];
  readonly #args: readonly string[];
  #child: ChildProcess | undefined;
  /** Where those of this life begin. */
  #from = 0;
  #onEvent: (() => void) | undefined;

  /** Requests that a life has left to the next one. */
  get resumed(): number {
    return this.events.reduce((sum, { requests = 0 }) => sum + requests, 0);
  }

  /** Not started yet. `args` are of Node. */
  constructor(args: readonly string[]) {
    this.#args = args;
  }

  /** Resolves when it listens. */
  async start(): Promise<void> {
    const child = spawn(process.execPath, this.#args, { stdio: ['ignore', 'pipe', 'inherit'] });
    this.#child = child;
    this.#from = this.events.length;
    createInterface({ input: child.stdout! }).on('line', (line) => {
      this.events.push(JSON.parse(line));
      this.#onEvent?.();
    });
    await this.until('listening');
  }

  /** Resolves when this life has had such an event; rejects when the process ends before. */
  async until(event: string): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#onEvent = () => {
        if (this.events.slice(this.#from).some((each) => each.event === event)) resolve();
      };
      this.#child!.once('exit', (code) => reject(new Error(`the server has ended with code ${code}`)));
      this.#onEvent();
    });
    this.#onEvent = undefined;
  }

  /** From outside, whatever it does; resolves when it is gone. */
  kill(): Promise<void> {
    return this.#end('SIGKILL');
  }

  /** Lets one that can kill itself do so in the middle of requests; it is killed after `limitMs` all the same. */
  killInTheMiddle(limitMs = 3000): Promise<void> {
    return this.#end('SIGUSR2', limitMs);
  }

  async #end(signal: NodeJS.Signals, limitMs?: number): Promise<void> {
    const child = this.#child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill(signal);
    const limit = limitMs === undefined ? undefined : setTimeout(() => child.kill('SIGKILL'), limitMs);
    await ended;
    clearTimeout(limit);
  }
}
