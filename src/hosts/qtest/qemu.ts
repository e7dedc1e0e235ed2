import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pid } from 'node:process';
import { GuestMemory } from '../../memory/guest-memory.ts';
import { TransportError } from '../../spec/fault.ts';
import { LevelInterrupts } from './level-interrupts.ts';
import { MessagePage } from './message-page.ts';
import { mmioSlots, type QtestMmioSlot } from './mmio-slots.ts';
import { enumeratePci, type QtestPciFunction } from './pci-bus.ts';
import { QemuProcess } from './qemu-process.ts';
import { QtestSocket } from './qtest-socket.ts';
import { createSharedMemory, type SharedMemory } from './shared-memory.ts';

export interface QemuOptions {
  /** `q35` has PCI devices, `microvm` has virtio-mmio devices. */
  readonly machine: 'q35' | 'microvm';
  /** What is added to the command line: devices and what is behind them. */
  readonly arguments: readonly string[];
  /** The guest's memory, from address 0 on: 64 MiB by default. */
  readonly memoryBytes?: number;
  /** Address of a page of the guest's memory, of nobody else's, for MSI-X messages. Without one devices have INTx alone. */
  readonly messagePage?: number;
  /** `QEMU` by default. */
  readonly program?: string;
  /** When it is aborted QEMU is killed, and nothing of it is left: for a process that has to end at once. */
  readonly signal?: AbortSignal;
}

/** On PATH. */
export const QEMU = 'qemu-system-x86_64';

const MACHINES = {
  q35: 'q35,memory-backend=memory',
  microvm: 'microvm,memory-backend=memory,acpi=off',
} as const;

/**
 * The processor halts at its first instruction, with interrupts off. QEMU has an accelerator without any processor, made for
 * qtest, but distributions leave it out.
 */
const HLT = 0xf4;
const BIOS_BYTES = 64 << 10;

const START_LIMIT_MS = 30_000;

/**
 * A QEMU whose devices are driven from here: no guest runs in it, registers are reached through its qtest socket, and
 * `memory` is the guest's memory itself, mapped by both processes.
 */
export class Qemu {
  /** Region 0 is the guest's memory. Empty again after `close`. */
  readonly memory: GuestMemory;
  readonly qtest: QtestSocket;
  readonly #process: QemuProcess;
  readonly #shared: SharedMemory;
  readonly #interrupts: LevelInterrupts;
  readonly #messages: MessagePage | undefined;
  #functions: QtestPciFunction[] | undefined;
  #slots: QtestMmioSlot[] | undefined;

  private constructor(qtest: QtestSocket, process: QemuProcess, shared: SharedMemory, messagePage: number | undefined) {
    this.qtest = qtest;
    this.#process = process;
    this.#shared = shared;
    this.memory = new GuestMemory();
    this.memory.add(0, shared.bytes, { shared: true });
    this.#interrupts = new LevelInterrupts(qtest);
    const messages = messagePage === undefined ? undefined : new MessagePage(this.memory, messagePage);
    this.#messages = messages;
    qtest.onAnswer = () => messages?.look();
  }

  /** Rejects with TransportError that repeats what QEMU said when it does not start. */
  static async start(options: QemuOptions): Promise<Qemu> {
    const { signal } = options;
    const folder = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), `virtio-qtest-${pid}-`));
    const removeFolder = (): void => rmSync(folder, { recursive: true, force: true });
    signal?.addEventListener('abort', removeFolder);
    const server = createServer();
    let shared: SharedMemory | undefined;
    let process: QemuProcess | undefined;
    try {
      const { memoryBytes = 64 << 20 } = options;
      shared = createSharedMemory(join(folder, 'memory'), memoryBytes);
      writeFileSync(join(folder, 'bios'), new Uint8Array(BIOS_BYTES).fill(HLT));
      await once(server.listen(join(folder, 'qtest')), 'listening');
      process = new QemuProcess(options.program ?? QEMU, commandLine(options, folder, memoryBytes), signal);
      const qtest = new QtestSocket(await unlessEnded(process, connection(server)));
      const qemu = new Qemu(qtest, process, shared, options.messagePage);
      // QEMU connects before it looks at its devices, and answers when it has them.
      await unlessEnded(process, qtest.interceptInterrupts('ioapic'));
      return qemu;
    } catch (error) {
      await process?.end();
      shared?.release();
      throw error;
    } finally {
      server.close();
      // Both have what they need open.
      removeFolder();
      signal?.removeEventListener('abort', removeFolder);
    }
  }

  /** The functions of PCI bus 0, the chipset's too. With MSI-X when there is a page for messages, else with INTx alone. */
  async pciFunctions(): Promise<readonly QtestPciFunction[]> {
    if (this.#functions === undefined) {
      this.#functions = await enumeratePci(this.qtest, this.#messages);
      for (const found of this.#functions) this.#interrupts.add(found);
    }
    return this.#functions;
  }

  /** The virtio-mmio slots of a microvm. */
  mmioSlots(): readonly QtestMmioSlot[] {
    if (this.#slots === undefined) {
      this.#slots = mmioSlots(this.qtest);
      for (const slot of this.#slots) this.#interrupts.add(slot);
    }
    return this.#slots;
  }

  /** Ends QEMU. Drivers that still wait are told that the device is lost. */
  async close(): Promise<void> {
    this.#messages?.close();
    await this.#process.end();
    await this.qtest.close();
    for (const region of this.memory.regions) this.memory.remove(region);
    this.#shared.release();
  }
}

function commandLine(options: QemuOptions, folder: string, bytes: number): string[] {
  return [
    ...['-accel', 'tcg', '-bios', join(folder, 'bios')],
    ...['-qtest', `unix:${join(folder, 'qtest')}`, '-qtest-log', '/dev/null'],
    ...['-display', 'none', '-nodefaults', '-no-user-config'],
    ...['-machine', MACHINES[options.machine], '-m', `${bytes >>> 20}M`],
    ...['-object', `memory-backend-file,id=memory,size=${bytes},share=on,mem-path=${join(folder, 'memory')}`],
    ...options.arguments,
  ];
}

/** The connection that QEMU makes. */
async function connection(server: Server): Promise<Socket> {
  const limit = AbortSignal.timeout(START_LIMIT_MS);
  const [socket] = await once(server, 'connection', { signal: limit }).catch(() => {
    throw new TransportError(`QEMU did not connect within ${START_LIMIT_MS} ms`);
  });
  return socket as Socket;
}

/** The same, but when it fails QEMU is ended, and its last words are in the error. */
async function unlessEnded<T>(process: QemuProcess, step: Promise<T>): Promise<T> {
  const end = process.ended.then((error) => {
    throw error;
  });
  // A connection that breaks is the first to be seen of an end.
  const orWhy = step.catch(async (error: Error) => {
    await process.end();
    throw new TransportError(`${error.message}; ${(await process.ended).message}`);
  });
  return await Promise.race([orWhy, end]);
}
