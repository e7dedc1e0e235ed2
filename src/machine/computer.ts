import { Device } from '../device/device.ts';
import { BlockDevice } from '../devices/block/device.ts';
import type { Disk } from '../devices/block/disk.ts';
import type { FunctionToPlug } from '../hosts/v86/plug-in.ts';
import { assignPlaces } from '../hosts/v86/plug-in.ts';
import { GuestMemory } from '../memory/guest-memory.ts';
import { StateError } from '../spec/fault.ts';
import { flushDisk } from '../storage/direct-request.ts';
import { type FileDisk, openFileDisk } from '../storage/file.ts';
import { OverlayDisk } from '../storage/overlay-disk.ts';
import { ioLayout, PciDevice } from '../transports/pci/device.ts';
import { fingerprintDisk } from './disk-fingerprint.ts';
import { v86Version } from './emulator.ts';
import type { GuestFiles } from './guest-files.ts';
import { defaultMemoryBytes, Machine, type MachineOptions } from './machine.ts';
import { decodeOverlay, encodeOverlay } from './overlay-section.ts';
import type { OnProgress } from './progress.ts';
import { startMachine } from './ready-state.ts';
import { readSavedMachine, writeSavedMachine } from './saved-machine.ts';
import { checkSameMachine, type MachineDescription } from './saved-machine-manifest.ts';

/**
 * Where the guest's writes go: `overlay` keeps them in memory and in saved machines and leaves the image as it is; `image`
 * writes to the file; `nowhere` is a read-only disk.
 */
export type WritesTo = 'overlay' | 'image' | 'nowhere';

export interface ComputerDisk {
  readonly path: string;
  readonly writesTo: WritesTo;
}

export interface ComputerOptions {
  readonly files: GuestFiles;
  /** 128 MiB by default. */
  readonly memoryBytes?: number;
  readonly cacheFolder?: string;
  readonly onProgress?: OnProgress;
  /** Puts something between a device and its disk, as a test does to make it slow. */
  readonly wrapDisk?: (disk: Disk) => Disk;
}

export interface StartComputerOptions extends ComputerOptions {
  readonly disks: readonly ComputerDisk[];
}

export interface OpenComputerOptions extends ComputerOptions {
  /** The images, where they are not in the places that the saved machine remembers. */
  readonly disks?: readonly ComputerDisk[];
}

/** A disk of a computer: the image, what is in front of it, and the device. */
export interface PluggedDisk extends ComputerDisk {
  readonly image: FileDisk;
  readonly overlay: OverlayDisk | undefined;
  /** What the guest sees: the overlay, or the image. */
  readonly disk: Disk;
  readonly device: Device;
  readonly pci: PciDevice;
}

const COMPUTER_SECTION = 'computer';
const MACHINE_SECTION = 'v86';

/** A machine with disks of ours that is paused, saved to one file and gone on from as a whole. */
export class Computer {
  readonly machine: Machine;
  readonly disks: readonly PluggedDisk[];
  readonly #memoryBytes: number;
  #paused: boolean;

  private constructor(
    machine: Machine,
    disks: readonly PluggedDisk[],
    memoryBytes: number,
    state: 'running' | 'paused',
  ) {
    this.machine = machine;
    this.disks = disks;
    this.#memoryBytes = memoryBytes;
    this.#paused = state === 'paused';
  }

  /** Starts a guest with disks; it has loaded its drivers when this resolves. Rejects when an image cannot be opened. */
  static async start(options: StartComputerOptions): Promise<Computer> {
    const memory = new GuestMemory();
    const disks = await openDisks(options.disks, memory, options.wrapDisk);
    try {
      const machine = await startMachine(machineOptions(options, memory, disks));
      return new Computer(machine, disks, options.memoryBytes ?? defaultMemoryBytes, 'running');
    } catch (error) {
      await closeDisks(disks);
      throw error;
    }
  }

  /**
   * A computer as it was saved in `path`; it is paused. Rejects with StateError that says what is wrong with the file or
   * with the images, which are left as they are.
   */
  static async open(path: string, options: OpenComputerOptions): Promise<Computer> {
    const { onProgress } = options;
    onProgress?.({ name: 'reading the saved machine' });
    const saved = await readSavedMachine(path);
    const wanted = options.disks ?? rememberedDisks(saved.sections.get(COMPUTER_SECTION));
    const memoryBytes = options.memoryBytes ?? saved.description.memoryBytes;
    const memory = new GuestMemory();
    const disks = await openDisks(wanted, memory, options.wrapDisk);
    try {
      checkSameMachine(saved.description, await describe(disks, memoryBytes));
      for (const [index, { overlay }] of disks.entries()) {
        const section = saved.sections.get(overlaySection(index));
        if ((section === undefined) !== (overlay === undefined)) {
          throw new StateError(
            `${path}: disk ${index} was saved ${section ? 'with' : 'without'} an overlay: give it the same way`,
          );
        }
        if (section !== undefined) overlay?.restore(decodeOverlay(section));
      }
      const state = saved.sections.get(MACHINE_SECTION);
      if (state === undefined) throw new StateError(`${path}: the saved machine has no state of its processor`);
      onProgress?.({ name: 'restoring the machine' });
      const machine = await Machine.fromState(machineOptions({ ...options, memoryBytes }, memory, disks), state);
      return new Computer(machine, disks, memoryBytes, 'paused');
    } catch (error) {
      await closeDisks(disks);
      throw error;
    }
  }

  get paused(): boolean {
    return this.#paused;
  }

  /** Stops the processor, then brings every device to rest. On failure everything goes on, and this rejects. */
  async pause(): Promise<void> {
    if (this.#paused) return;
    await this.machine.pause();
    const results = await Promise.allSettled(this.disks.map(({ device }) => device.pause()));
    const failed = results.find((result) => result.status === 'rejected');
    this.#paused = true;
    if (failed === undefined) return;
    this.continue();
    throw failed.reason;
  }

  continue(): void {
    if (!this.#paused) return;
    this.#paused = false;
    for (const { device } of this.disks) if (device.paused) device.continue();
    this.machine.continue();
  }

  /** Saves everything but the images to one file; pauses for that if need be, and then goes on. */
  async save(path: string): Promise<void> {
    const wasPaused = this.#paused;
    await this.pause();
    try {
      // What the file says of the images has to be true of them after a power failure too.
      for (const { image, writesTo } of this.disks) if (writesTo === 'image') await flushDisk(image);
      const sections = new Map<string, Uint8Array>();
      sections.set(MACHINE_SECTION, await this.machine.saveState());
      sections.set(COMPUTER_SECTION, encodeRemembered(this.disks));
      for (const [index, { overlay }] of this.disks.entries()) {
        if (overlay !== undefined) sections.set(overlaySection(index), encodeOverlay(overlay.snapshot()));
      }
      await writeSavedMachine(path, { description: await describe(this.disks, this.#memoryBytes), sections });
    } finally {
      if (!wasPaused) this.continue();
    }
  }

  /** Ends the machine and lets go of the images. */
  async close(): Promise<void> {
    await this.machine.destroy();
    await closeDisks(this.disks);
  }
}

function machineOptions(
  options: ComputerOptions,
  memory: GuestMemory,
  disks: readonly PluggedDisk[],
): MachineOptions & { readonly cacheFolder?: string } {
  const { files, memoryBytes = defaultMemoryBytes, cacheFolder, onProgress } = options;
  return {
    files,
    memory,
    memoryBytes,
    functions: functionsOf(disks),
    ...(cacheFolder === undefined ? {} : { cacheFolder }),
    ...(onProgress === undefined ? {} : { onProgress }),
  };
}

function functionsOf(disks: readonly PluggedDisk[]): FunctionToPlug[] {
  return disks.map(({ pci }) => ({ pci }));
}

async function openDisks(
  wanted: readonly ComputerDisk[],
  memory: GuestMemory,
  wrap: (disk: Disk) => Disk = (disk) => disk,
): Promise<PluggedDisk[]> {
  const disks: PluggedDisk[] = [];
  try {
    for (const [index, { path, writesTo }] of wanted.entries()) {
      const image = await openFileDisk(path, { readOnly: writesTo !== 'image', identity: `virtio-ts-${index}` });
      const overlay = writesTo === 'overlay' ? new OverlayDisk(image) : undefined;
      const disk = wrap(overlay ?? image);
      const device = new Device(new BlockDevice(disk), memory);
      const pci = new PciDevice(device, { layout: ioLayout, name: `disk ${index}` });
      disks.push({ path, writesTo, image, overlay, disk, device, pci });
    }
  } catch (error) {
    await closeDisks(disks);
    throw error;
  }
  return disks;
}

async function closeDisks(disks: readonly PluggedDisk[]): Promise<void> {
  for (const { image } of disks) await image.close();
}

async function describe(disks: readonly PluggedDisk[], memoryBytes: number): Promise<MachineDescription> {
  return {
    versions: { v86: v86Version },
    memoryBytes,
    devices: assignPlaces(functionsOf(disks)).map(({ pci, slot }, index) => {
      return { slot, deviceId: disks[index]!.device.type.deviceId, name: pci.name };
    }),
    disks: await Promise.all(
      disks.map(async ({ image, disk }) => ({
        identity: disk.identity,
        capacitySectors: image.capacitySectors,
        baseFingerprint: await fingerprintDisk(image),
      })),
    ),
  };
}

function overlaySection(index: number): string {
  return `overlay ${index}`;
}

function encodeRemembered(disks: readonly ComputerDisk[]): Uint8Array {
  const remembered = disks.map(({ path, writesTo }) => ({ path, writesTo }));
  return new TextEncoder().encode(JSON.stringify(remembered));
}

function rememberedDisks(section: Uint8Array | undefined): ComputerDisk[] {
  if (section === undefined) throw new StateError('the saved machine does not say which images it used: give them');
  return JSON.parse(new TextDecoder().decode(section)) as ComputerDisk[];
}
