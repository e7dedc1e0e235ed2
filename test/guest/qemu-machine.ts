import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { type CommandResult, GuestCommands } from '../../src/machine/guest-commands.ts';
import type { GuestFiles } from '../../src/machine/guest-files.ts';
import { SerialLine } from '../../src/machine/serial-line.ts';
import { hasProgram } from '../support/programs.ts';
import { monitor } from './qemu-monitor.ts';

export const QEMU = 'qemu-system-x86_64';
export const hasQemu: boolean = hasProgram(QEMU, 'qemu-system-x86');

/** A processor that is emulated on a busy machine stands still for longer than Linux has patience for. */
const NO_STALLS = 'rcupdate.rcu_cpu_stall_suppress=1 nowatchdog';
export const KERNEL_COMMAND_LINE: string = `console=ttyS0 quiet no_timer_check ${NO_STALLS}`;

export interface QemuOptions {
  /** The one on PATH by default. */
  readonly program?: string;
  /** The guest's memory in a file that other processes can map. */
  readonly sharedMemory?: boolean;
  readonly files: GuestFiles;
  /** A disk has kernel and all; QEMU has them from `files` otherwise. */
  readonly startsFrom?: 'disk';
  /** For the sockets of the serial ports. */
  readonly folder: string;
  /** What the guest loads when it is up. */
  readonly load: readonly string[];
  /** Of QEMU, for devices. */
  readonly args: readonly string[];
  /** Waits for a machine that another QEMU sends to this socket, instead of booting one. */
  readonly incoming?: string;
}

/** A guest of ours in QEMU, without KVM. */
export class QemuMachine {
  readonly serial: SerialLine;
  readonly #process: ChildProcess;
  readonly #sockets: readonly Socket[];
  readonly #commands: GuestCommands;
  readonly #load: readonly string[];
  readonly #monitor: string;

  private constructor(
    process: ChildProcess,
    sockets: readonly [Socket, Socket],
    load: readonly string[],
    monitor: string,
  ) {
    this.#load = load;
    this.#monitor = monitor;
    this.#process = process;
    this.#sockets = sockets;
    const [serial, commands] = sockets.map((socket) => {
      const line = new SerialLine((bytes) => void socket.write(bytes));
      socket.on('data', (data) => {
        for (const byte of data) line.receive(byte);
      });
      return line;
    });
    this.serial = serial!;
    this.#commands = new GuestCommands(commands!);
  }

  static async start(options: QemuOptions): Promise<QemuMachine> {
    const { program = QEMU, sharedMemory = false, files, folder, load, args, incoming, startsFrom } = options;
    const backend = ['-object', 'memory-backend-memfd,id=memory,size=256M,share=on'];
    const ports = ['console', 'commands'].map((name) => join(folder, name));
    const qemu = spawn(
      program,
      [
        ...['-accel', 'tcg', '-m', '256', '-display', 'none', '-nodefaults', '-no-reboot'],
        ...['-machine', sharedMemory ? 'q35,memory-backend=memory' : 'q35', ...(sharedMemory ? backend : [])],
        ...(startsFrom === 'disk'
          ? []
          : ['-kernel', files.kernel, '-initrd', files.initrd, '-append', KERNEL_COMMAND_LINE]),
        ...ports.flatMap((path, at) => [
          ...['-chardev', `socket,id=port${at},path=${path},server=on,wait=off`, '-serial', `chardev:port${at}`],
        ]),
        ...(incoming === undefined ? [] : ['-incoming', `unix:${incoming}`]),
        ...['-monitor', `unix:${join(folder, 'monitor')},server=on,wait=off`],
        ...args,
      ],
      { stdio: ['ignore', 'ignore', 'pipe'] },
    );
    let said = '';
    qemu.stderr.on('data', (data: Buffer) => {
      said += data.toString();
    });
    const sockets = await Promise.all(ports.map((path) => opened(path, qemu))).catch((cause: unknown) => {
      qemu.kill('SIGKILL');
      throw new Error(`QEMU did not start: ${said}`, { cause });
    });
    const machine = new QemuMachine(qemu, [sockets[0]!, sockets[1]!], load, join(folder, 'monitor'));
    if (incoming === undefined) await machine.boot();
    // QEMU connects to its devices before it listens there.
    else while (!existsSync(incoming)) await new Promise((resolve) => setTimeout(resolve, 50));
    return machine;
  }

  /** Waits for a guest that was just started, or reset, and lets it load its drivers. */
  async boot(): Promise<void> {
    await this.serial.waitFor('guest: waiting for go\r\n', { timeoutMs: 120_000 });
    this.serial.send(`go ${Math.floor(Date.now() / 1000)} ${this.#load.join(' ')}\n`);
    await this.serial.waitFor('guest: ready', { timeoutMs: 120_000 });
  }

  command(line: string, options?: { timeoutMs?: number }): Promise<CommandResult> {
    return this.#commands.run(line, options);
  }

  /** What QEMU itself answers to a command for people. */
  monitor(command: string): Promise<string> {
    return monitor(this.#monitor, command);
  }

  async stop(): Promise<void> {
    this.#commands.close('the machine was stopped');
    for (const socket of this.#sockets) socket.destroy();
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    const ended = new Promise((resolve) => this.#process.once('exit', resolve));
    this.#process.kill('SIGKILL');
    await ended;
  }
}

/** Once QEMU listens there. */
async function opened(path: string, qemu: ChildProcess): Promise<Socket> {
  for (;;) {
    const socket = connect(path);
    const error = await new Promise<Error | undefined>((resolve) => {
      socket.once('connect', () => resolve(undefined)).once('error', resolve);
    });
    if (error === undefined) return socket;
    if (qemu.exitCode !== null) throw error;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
