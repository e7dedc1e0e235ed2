import { readFile } from 'node:fs/promises';
import type { V86Emulator } from '../hosts/v86/emulator.ts';
import { type FunctionToPlug, plugIn, type V86Host } from '../hosts/v86/plug-in.ts';
import { GuestMemory } from '../memory/guest-memory.ts';
import { StateError } from '../spec/fault.ts';
import { loaded, makeEmulator } from './emulator.ts';
import { type CommandResult, GuestCommands } from './guest-commands.ts';
import type { GuestFiles } from './guest-files.ts';
import type { OnProgress } from './progress.ts';
import { SerialLine } from './serial-line.ts';

export interface MachineOptions {
  readonly files: GuestFiles;
  /** What is plugged in, and an empty GuestMemory that its devices were made with. */
  readonly functions?: readonly FunctionToPlug[];
  readonly memory?: GuestMemory;
  /** 128 MiB by default. */
  readonly memoryBytes?: number;
  readonly commandLine?: string;
  /** A disk of v86's own IDE controller, for comparison. Its contents become part of a saved state. */
  readonly ideDisk?: ArrayBuffer;
  readonly onProgress?: OnProgress;
}

export const defaultMemoryBytes: number = 128 * 1024 * 1024;

/** Without the initcalls and self tests that take longest under emulation. */
export const defaultCommandLine: string = [
  'console=ttyS0 quiet noisapnp cryptomgr.notests',
  'initcall_blacklist=crypto_kdf108_init,load_system_certificate_list,init_kprobe_trace,oom_init',
].join(' ');

/** What guest/init prints when it waits for the "go" line. */
const FIXED_POINT = 'guest: waiting for go';
/** A boot takes about 17 s on an idle machine (measured). */
const BOOT_LIMIT_MS = 300_000;

/**
 * A PC with a Linux guest in this process: v86 with our PCI functions plugged in.
 *
 * It runs from when it was made until `pause`. The devices are their owner's, who pauses them after the machine and lets
 * them go before it continues.
 */
export class Machine {
  /** The first serial port: the guest's console. */
  readonly serial: SerialLine;
  readonly host: V86Host;
  readonly memory: GuestMemory;
  readonly memoryBytes: number;
  readonly #emulator: V86Emulator;
  readonly #commandLine: SerialLine;
  readonly #commands: GuestCommands;
  #state: 'running' | 'paused' | 'destroyed' = 'paused';

  private constructor(emulator: V86Emulator, host: V86Host, memoryBytes: number) {
    this.#emulator = emulator;
    this.host = host;
    this.memory = host.memory;
    this.memoryBytes = memoryBytes;
    this.serial = serialPort(emulator, 0);
    this.#commandLine = serialPort(emulator, 1);
    this.#commands = new GuestCommands(this.#commandLine);
  }

  /** Boots up to the point where the guest waits for `go`, with no driver of ours loaded. About 17 s. */
  static async boot(options: MachineOptions): Promise<Machine> {
    const [kernel, initrd] = await Promise.all([readBuffer(options.files.kernel), readBuffer(options.files.initrd)]);
    const commandLine = options.commandLine ?? defaultCommandLine;
    const machine = await Machine.#make(options, { kernel, initrd, commandLine });
    const started = Date.now();
    const report = (): void => {
      const seconds = Math.round((Date.now() - started) / 1000);
      options.onProgress?.({ name: 'booting the guest', detail: `${seconds} s` });
    };
    report();
    const timer = setInterval(report, 1000);
    try {
      machine.continue();
      await machine.serial.waitFor(FIXED_POINT, { timeoutMs: BOOT_LIMIT_MS });
    } catch (error) {
      await machine.destroy();
      throw error;
    } finally {
      clearInterval(timer);
    }
    return machine;
  }

  /**
   * A machine that goes on from a saved state. It is paused, as are the devices that were saved: let the devices go, then
   * `continue`. Throws StateError when the state is of other functions.
   */
  static async fromState(options: MachineOptions, state: Uint8Array): Promise<Machine> {
    const machine = await Machine.#make(options);
    try {
      await machine.#emulator.restore_state(ownBuffer(state));
    } catch (error) {
      await machine.destroy();
      throw error instanceof StateError ? error : new StateError(`v86 cannot restore the state: ${messageOf(error)}`);
    }
    return machine;
  }

  static async #make(
    options: MachineOptions,
    boot?: { kernel: ArrayBuffer; initrd: ArrayBuffer; commandLine: string },
  ): Promise<Machine> {
    const { files, memoryBytes = defaultMemoryBytes, ideDisk } = options;
    const bios = await readBuffer(files.bios);
    const vgaBios = files.vgaBios === undefined ? undefined : await readBuffer(files.vgaBios);
    const emulator = makeEmulator({
      memoryBytes,
      bios,
      vgaBios,
      ...(boot === undefined ? {} : { boot }),
      ...(ideDisk === undefined ? {} : { ideDisk }),
    });
    const isLoaded = loaded(emulator);
    const host = plugIn(emulator, options.functions ?? [], { memory: options.memory ?? new GuestMemory() });
    await Promise.all([host.attached, isLoaded]);
    return new Machine(emulator, host, memoryBytes);
  }

  get running(): boolean {
    return this.#state === 'running';
  }

  /**
   * Lets a guest that waits at its fixed point go on: sets its clock, loads modules (the names of lists, see `moduleSets`)
   * and starts a shell on the console. Resolves to the line in which the guest says that it is ready.
   */
  async go(
    moduleSets: readonly string[] = ['virtio'],
    { timeoutMs = 120_000 }: { timeoutMs?: number } = {},
  ): Promise<string> {
    this.serial.send(`go ${Math.floor(Date.now() / 1000)} ${moduleSets.join(' ')}\n`);
    const line = await this.serial.waitFor(/guest: ready[^\r\n]*/, { timeoutMs });
    return line;
  }

  /** Runs a shell command in the guest. One at a time; the console is not touched. */
  command(line: string, options: { timeoutMs?: number } = {}): Promise<CommandResult> {
    return this.#commands.run(line, options);
  }

  /** Stops the guest's processor. Devices go on until their owner pauses them. */
  async pause(): Promise<void> {
    this.#alive();
    await this.#emulator.stop();
    this.#state = 'paused';
  }

  /** Lets the guest's processor go on. */
  continue(): void {
    this.#alive();
    this.#state = 'running';
    void this.#emulator.run();
  }

  /**
   * The state of the machine and of the devices in it, for `fromState`: about 40 MB for a guest of 128 MiB. Throws
   * StateError unless the machine is paused and the devices are at rest.
   */
  async saveState(): Promise<Uint8Array> {
    if (this.#state !== 'paused') throw new StateError('a machine is saved while it is paused');
    return new Uint8Array(await this.#emulator.save_state());
  }

  /** Ends the machine; what waits for the guest is rejected. */
  async destroy(): Promise<void> {
    if (this.#state === 'destroyed') return;
    this.#state = 'destroyed';
    await this.#emulator.destroy();
    this.host.unplug();
    const reason = 'the machine was destroyed';
    this.#commands.close(reason);
    this.serial.close(reason);
  }

  #alive(): void {
    if (this.#state === 'destroyed') throw new StateError('the machine was destroyed');
  }
}

function serialPort(emulator: V86Emulator, port: number): SerialLine {
  const line = new SerialLine((bytes) => emulator.serial_send_bytes(port, bytes));
  emulator.add_listener(`serial${port}-output-byte`, (byte: number) => line.receive(byte));
  return line;
}

async function readBuffer(file: string): Promise<ArrayBuffer> {
  return ownBuffer(await readFile(file));
}

/** The bytes as a buffer that holds nothing else: v86 reads buffers from their start. */
function ownBuffer(bytes: Uint8Array): ArrayBuffer {
  const { buffer, byteOffset, length } = bytes;
  if (byteOffset === 0 && length === buffer.byteLength && buffer instanceof ArrayBuffer) return buffer;
  return Uint8Array.from(bytes).buffer;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
