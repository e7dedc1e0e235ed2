import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { QEMU, Qemu } from '../../hosts/qtest/qemu.ts';
import { qemuSays } from '../../hosts/qtest/qemu-process.ts';
import { type QemuBus, virtioMachine } from '../../hosts/qtest/virtio-machine.ts';
import { GuestAllocator } from '../../memory/allocator.ts';
import { TransportError } from '../../spec/fault.ts';
import { PCI_VENDOR } from '../../spec/pci.ts';
import { onSignal } from '../signals.ts';
import { diskBytes } from './bench.ts';
import { type Reached, type ReachedRegisters, reachFunction, reachSlot } from './peers.ts';

const MIB = 1 << 20;
const MEMORY_BYTES = 16 * MIB;

/** Properties of QEMU's devices for features that they offer only when told so; not every version has each. */
const ON_REQUEST = ['packed', 'in_order'];

/** A QEMU that is there. */
export interface QemuProgram {
  readonly program: string;
  readonly version: string;
  /** What its block device is to be told to offer everything that it can. */
  readonly everything: readonly string[];
}

/** Rejects with TransportError when there is none. */
export async function findQemu(program: string = QEMU): Promise<QemuProgram> {
  const said = await qemuSays(program, '--version');
  const version = /^QEMU emulator version (.+)$/m.exec(said)?.[1];
  if (version === undefined) throw new TransportError(`${program} is no QEMU: it does not say its version`);
  const properties = await qemuSays(program, '-device', 'virtio-blk-pci,help');
  const known = ON_REQUEST.filter((name) => new RegExp(`^ *${name}=`, 'm').test(properties));
  return { program, version, everything: known.map((name) => `${name}=on`) };
}

/**
 * Starts a QEMU for one driver, and a recorder between the two. `offer` is what its device is told; `drive` what is behind it, the disk
 * of `bench.ts` if nothing is said.
 */
export async function reachQemu(
  program: string,
  bus: QemuBus,
  offer: readonly string[],
  drive?: string,
): Promise<Reached> {
  let folder: string | undefined;
  const removeFolder = (): void => {
    if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
  };
  const killed = new AbortController();
  const isOver = onSignal(() => {
    killed.abort();
    removeFolder();
  });
  try {
    folder = mkdtempSync(join(tmpdir(), 'virtio-check-'));
    const image = join(folder, 'disk');
    writeFileSync(image, diskBytes());
    const machine = virtioMachine(bus, [{ model: 'virtio-blk', options: ['drive=disk', ...offer].join(',') }]);
    machine.arguments.push('-drive', `if=none,id=disk,${drive ?? `format=raw,file=${image}`}`);
    const { signal } = killed;
    const qemu = await Qemu.start({ ...machine, program, memoryBytes: MEMORY_BYTES, signal });
    const close = async (): Promise<void> => {
      await qemu.close();
      isOver();
    };
    try {
      const reached = await (bus === 'mmio' ? onlySlot(qemu) : onlyFunction(qemu));
      // Below it a PC has more than memory.
      return { ...reached, allocator: new GuestAllocator(qemu.memory, MIB, MEMORY_BYTES - MIB), close };
    } catch (error) {
      await close();
      throw error;
    }
  } catch (error) {
    isOver();
    throw error;
  } finally {
    removeFolder();
  }
}

async function onlyFunction(qemu: Qemu): Promise<ReachedRegisters> {
  const found = (await qemu.pciFunctions()).find(({ vendor }) => vendor === PCI_VENDOR);
  if (found === undefined) throw new TransportError('QEMU has no virtio device on its PCI bus');
  return reachFunction(found, qemu.memory);
}

async function onlySlot(qemu: Qemu): Promise<ReachedRegisters> {
  for (const slot of qemu.mmioSlots()) {
    const reached = await reachSlot(slot, qemu.memory);
    if (reached !== undefined) return reached;
  }
  throw new TransportError('QEMU has no virtio device in its slots');
}
