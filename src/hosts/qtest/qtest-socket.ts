import { once } from 'node:events';
import type { Socket } from 'node:net';
import type { AccessWidth } from '../../spec/access-width.ts';
import { TransportError } from '../../spec/fault.ts';

const LETTERS = { 1: 'b', 2: 'w', 4: 'l' } as const;

interface Pending {
  readonly command: string;
  readonly resolve: (answer: string) => void;
  readonly reject: (error: TransportError) => void;
}

/**
 * QEMU's qtest protocol: a line of text for each access to a port, to memory or to an interrupt controller. QEMU answers in
 * the order of the commands, so a command need not wait for the one before it. All methods reject with TransportError when
 * the connection has ended or QEMU refuses.
 */
export class QtestSocket {
  /** An intercepted interrupt line has changed. */
  onInterruptLine: ((line: number, asserted: boolean) => void) | undefined;
  /** QEMU has answered, and nobody was told of it yet: what its devices have written before is in memory. */
  onAnswer: (() => void) | undefined;
  readonly #socket: Socket;
  readonly #pending: Pending[] = [];
  #received = '';
  #ended: string | undefined;

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.setEncoding('latin1');
    socket.on('data', (text: string) => this.#receive(text));
    socket.on('error', (error) => this.#end(`the connection to QEMU failed: ${error.message}`));
    socket.on('close', () => this.#end('QEMU has closed the connection'));
  }

  readPort(port: number, width: AccessWidth): Promise<number> {
    return this.#number(`in${LETTERS[width]} ${hex(port)}`);
  }

  writePort(port: number, width: AccessWidth, value: number): Promise<void> {
    return this.#done(`out${LETTERS[width]} ${hex(port)} ${hex(value)}`);
  }

  /** Guest-physical memory or a memory-mapped register. */
  readMemory(address: number, width: AccessWidth): Promise<number> {
    return this.#number(`read${LETTERS[width]} ${hex(address)}`);
  }

  writeMemory(address: number, width: AccessWidth, value: number): Promise<void> {
    return this.#done(`write${LETTERS[width]} ${hex(address)} ${hex(value)}`);
  }

  /** From now on the inputs of an interrupt controller end in `onInterruptLine`. `path` is QEMU's name of it. */
  interceptInterrupts(path: string): Promise<void> {
    return this.#done(`irq_intercept_in ${path}`);
  }

  /** Resolves when all that was sent before was answered. */
  async settled(): Promise<void> {
    // Reading the port of the power-on self test has no effect.
    await this.readPort(0x80, 1);
  }

  async close(): Promise<void> {
    if (this.#socket.closed) return;
    const closed = once(this.#socket, 'close');
    this.#socket.destroy();
    await closed;
  }

  async #done(command: string): Promise<void> {
    await this.#command(command);
  }

  async #number(command: string): Promise<number> {
    const answer = await this.#command(command);
    const value = Number(answer);
    if (!/^0x[0-9a-f]{1,16}$/i.test(answer) || !Number.isSafeInteger(value)) {
      throw new TransportError(`QEMU answered ${JSON.stringify(answer)} to \`${command}\`, which is no number`);
    }
    return value;
  }

  #command(command: string): Promise<string> {
    return new Promise((resolve, reject) => {
      if (this.#ended !== undefined) {
        reject(new TransportError(`\`${command}\` was not sent: ${this.#ended}`));
        return;
      }
      this.#pending.push({ command, resolve, reject });
      this.#socket.write(`${command}\n`);
    });
  }

  #receive(text: string): void {
    const lines = (this.#received + text).split('\n');
    this.#received = lines.pop()!;
    for (const line of lines) this.#line(line.trimEnd());
  }

  #line(line: string): void {
    const interrupt = /^IRQ (raise|lower) (\d+)$/.exec(line);
    if (interrupt !== null) {
      this.onInterruptLine?.(Number(interrupt[2]), interrupt[1] === 'raise');
      return;
    }
    this.onAnswer?.();
    const first = this.#pending.shift();
    if (first === undefined) this.#end(`QEMU sent ${JSON.stringify(line)}, which answers nothing`);
    else if (line === 'OK' || line.startsWith('OK ')) first.resolve(line.slice(3));
    else first.reject(new TransportError(`QEMU refused \`${first.command}\`: ${line}`));
  }

  #end(reason: string): void {
    if (this.#ended !== undefined) return;
    this.#ended = reason;
    for (const { command, reject } of this.#pending.splice(0)) {
      reject(new TransportError(`\`${command}\` was not answered: ${reason}`));
    }
    this.#socket.destroy();
  }
}

function hex(value: number): string {
  return `0x${value.toString(16)}`;
}
