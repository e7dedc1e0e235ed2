import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DriverTransport } from '../../src/driver/transport.ts';
import { Qemu } from '../../src/hosts/qtest/qemu.ts';
import { type QemuBus, virtioMachine } from '../../src/hosts/qtest/virtio-machine.ts';
import { GuestAllocator } from '../../src/memory/allocator.ts';
import { PCI_DEVICE_BASE, PCI_VENDOR } from '../../src/spec/pci.ts';
import { MmioDriverTransport } from '../../src/transports/mmio/driver.ts';
import { PciDriverTransport } from '../../src/transports/pci/driver.ts';
import { QEMU } from '../guest/qemu-machine.ts';

const MIB = 1 << 20;
export const IMAGE_BYTES: number = 4 * MIB;

/** What QEMU is told of its virtqueues. */
export interface RingOptions {
  readonly packed: 'on' | 'off';
  readonly eventIdx: 'on' | 'off';
  readonly indirect: 'on' | 'off';
  readonly inOrder: 'on' | 'off';
}

/** Whether this QEMU's devices can offer VIRTIO_F_IN_ORDER: 7.2 cannot. */
export const hasInOrder: boolean = spawnSync(QEMU, ['-device', 'virtio-blk-pci,help'], {
  encoding: 'utf8',
}).stdout?.includes('in_order=');

/** A QEMU with a disk, a console and an entropy device, and what is behind them. */
export class QemuDevices {
  readonly qemu: Qemu;
  readonly allocator: GuestAllocator;
  readonly #folder: string;
  readonly #transports: readonly DriverTransport[];
  readonly #terminal: Socket;

  private constructor(qemu: Qemu, folder: string, transports: readonly DriverTransport[], terminal: Socket) {
    this.qemu = qemu;
    this.allocator = new GuestAllocator(qemu.memory, MIB, 32 * MIB);
    this.#folder = folder;
    this.#transports = transports;
    this.#terminal = terminal;
  }

  static async start(bus: QemuBus, options: RingOptions): Promise<QemuDevices> {
    const folder = mkdtempSync(join(tmpdir(), 'virtio-qemu-'));
    writeFileSync(join(folder, 'disk'), new Uint8Array(IMAGE_BYTES).fill(0x11));
    writeFileSync(join(folder, 'entropy'), entropyBytes(MIB));
    const common = ringOptions(options);
    const machine = virtioMachine(bus, [
      { model: 'virtio-blk', options: `drive=disk,serial=matrix,${common}` },
      { model: 'virtio-rng', options: `rng=entropy,${common}` },
      { model: 'virtio-serial', options: `id=serial,${common}` },
    ]);
    machine.arguments.push(...backEnds(folder), '-device', 'virtconsole,chardev=terminal,bus=serial.0');
    const qemu = await Qemu.start(machine);
    const transports = bus === 'mmio' ? await mmioTransports(qemu) : await pciTransports(qemu);
    const terminal = connect(join(folder, 'console'));
    await once(terminal, 'connect');
    return new QemuDevices(qemu, folder, transports, terminal);
  }

  transport(deviceId: number): DriverTransport {
    const found = this.#transports.find((transport) => transport.deviceId === deviceId);
    if (found === undefined) throw new Error(`QEMU has no device ${deviceId}`);
    return found;
  }

  /** The image as another process sees it now. */
  get image(): Uint8Array {
    return readFileSync(join(this.#folder, 'disk'));
  }

  /** The next `length` characters that come out of the console. */
  async printed(length: number): Promise<string> {
    let text = '';
    while (text.length < length) {
      const bytes = this.#terminal.read() as Buffer | null;
      if (bytes === null) await once(this.#terminal, 'readable');
      else text += bytes.toString('latin1');
    }
    return text;
  }

  type(text: string): void {
    this.#terminal.write(text);
  }

  async close(): Promise<void> {
    this.#terminal.destroy();
    await this.qemu.close();
    rmSync(this.#folder, { recursive: true });
  }
}

/** What QEMU's entropy device gives out, in this order. */
export function entropyBytes(length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, n) => (n * 7) ^ (n >>> 8));
}

/** True when nothing of the QEMUs of a process is left in the folder for shared memory. */
export function leavesNothing(pid: number = process.pid): boolean {
  return !existsSync('/dev/shm') || !readdirSync('/dev/shm').some((name) => name.startsWith(`virtio-qtest-${pid}-`));
}

function backEnds(folder: string): string[] {
  return [
    ...['-drive', `if=none,id=disk,format=raw,file=${join(folder, 'disk')}`],
    ...['-object', `rng-random,id=entropy,filename=${join(folder, 'entropy')}`],
    ...['-chardev', `socket,id=terminal,path=${join(folder, 'console')},server=on,wait=off`],
  ];
}

function ringOptions({ packed, eventIdx, indirect, inOrder }: RingOptions): string {
  const options = `packed=${packed},event_idx=${eventIdx},indirect_desc=${indirect}`;
  return hasInOrder ? `${options},in_order=${inOrder}` : options;
}

async function pciTransports(qemu: Qemu): Promise<DriverTransport[]> {
  const functions = (await qemu.pciFunctions()).filter(({ vendor, device }) => {
    return vendor === PCI_VENDOR && device >= PCI_DEVICE_BASE;
  });
  return await Promise.all(functions.map((access) => PciDriverTransport.open(access)));
}

async function mmioTransports(qemu: Qemu): Promise<DriverTransport[]> {
  const transports = await Promise.all(qemu.mmioSlots().map((slot) => MmioDriverTransport.open(slot)));
  return transports.filter((transport) => transport !== undefined);
}
