import { systemClock } from '../../device/clock.ts';
import { Device } from '../../device/device.ts';
import { BlockDevice } from '../../devices/block/device.ts';
import type { Machine } from '../../machine/machine.ts';
import { type StartOptions, startMachine } from '../../machine/ready-state.ts';
import { GuestMemory } from '../../memory/guest-memory.ts';
import { recordedType } from '../../record/device.ts';
import { Recorder, TraceLines } from '../../record/recorder.ts';
import { Feature, featureSet } from '../../spec/features.ts';
import type { PciFunction } from '../../transports/pci/function.ts';
import { makeDisk, SECTORS } from './bench.ts';
import type { DriverBench, DriverCase } from './driver-case.ts';
import { LinuxDriver } from './linux-driver.ts';
import type { CheckCase } from './run-cases.ts';
import { recordVariedFunction, type VariedFunction } from './varied-function.ts';

/** Bits of the device that a case has only if it asks for them. */
const ON_REQUEST = featureSet(Feature.RING_PACKED);

/** A disk in a guest of v86, whose Linux has to do with it through a recorder. All cases share it; a trace is of one of them. */
export class LinuxBench {
  readonly #device: Device;
  readonly #function: VariedFunction;
  readonly #behind = makeDisk();
  readonly #lines = new TraceLines();
  readonly #memory = new GuestMemory();
  readonly #pci: PciFunction;
  #machine: Machine | undefined;

  constructor() {
    const memory = this.#memory;
    const type = new BlockDevice(this.#behind.disk);
    const recorder = new Recorder({ transport: 'pci', device: type.deviceId }, this.#lines, systemClock);
    this.#device = new Device(recordedType(recorder, type), memory, { offer: [Feature.RING_PACKED] });
    const { varied, pci } = recordVariedFunction(recorder, this.#device, memory);
    this.#function = varied;
    this.#pci = pci;
  }

  /** Starts a guest with the disk for this work, and ends it. */
  async during<T>(
    options: Pick<StartOptions, 'files' | 'cacheFolder' | 'onProgress'>,
    work: () => Promise<T>,
  ): Promise<T> {
    this.#machine = await startMachine({ ...options, memory: this.#memory, functions: [{ pci: this.#pci }] });
    try {
      return await work();
    } finally {
      await this.#machine.destroy();
    }
  }

  /** Takes the device away from the driver of the case before, and makes it as new. */
  async prepare({ run }: DriverCase, offer: readonly number[]): Promise<CheckCase> {
    const machine = this.#machine!;
    const { disk, resize } = this.#behind;
    const { variation: varied } = this.#function;
    const driver = new LinuxDriver(machine);
    disk.release();
    varied.end();
    await driver.remove();
    this.#device.reset();
    resize(SECTORS);
    varied.alsoOffered = 0n;
    varied.withheld = ON_REQUEST & ~featureSet(...offer);
    const bench: DriverBench = {
      varied,
      device: this.#device,
      memory: this.#memory,
      clock: systemClock,
      disk,
      resize,
      notifyForNothing: () => this.#function.notifyForNothing(),
    };
    const lines = this.#lines.lines;
    lines.splice(1);
    return {
      run: async () => {
        await run(driver, bench);
        await driver.remove();
      },
      get trace() {
        return [...lines];
      },
    };
  }
}
