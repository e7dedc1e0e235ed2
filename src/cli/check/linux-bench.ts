import { systemClock } from '../../device/clock.ts';
import { Device } from '../../device/device.ts';
import { BlockDevice } from '../../devices/block/device.ts';
import type { Machine } from '../../machine/machine.ts';
import { type StartOptions, startMachine } from '../../machine/ready-state.ts';
import { GuestMemory } from '../../memory/guest-memory.ts';
import { recordedType, recordRings } from '../../record/device.ts';
import { Recorder, TraceLines } from '../../record/recorder.ts';
import { placesOf, recordedFunction } from '../../record/transports.ts';
import { Feature, featureSet } from '../../spec/features.ts';
import { ioLayout, PciDevice } from '../../transports/pci/device.ts';
import type { PciFunction } from '../../transports/pci/function.ts';
import { makeDisk, SECTORS } from './bench.ts';
import type { DriverBench, DriverCase } from './driver-case.ts';
import { LinuxDriver } from './linux-driver.ts';
import type { CheckCase } from './run-cases.ts';
import { VariedFunction } from './varied-function.ts';

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
    recordRings(recorder, this.#device, memory);
    this.#device.observer = {
      usedNotified: (queue) => recorder.event({ kind: 'interrupt', cause: 'used', queue }),
      configNotified: () => recorder.event({ kind: 'interrupt', cause: 'config' }),
    };
    this.#function = new VariedFunction(new PciDevice(this.#device, { layout: ioLayout }));
    this.#function.onNothing = () => {
      recorder.event({ kind: 'interrupt', cause: 'used' });
      recorder.event({ kind: 'interrupt', cause: 'config' });
    };
    this.#pci = recordedFunction(recorder, this.#function, placesOf(ioLayout.structures));
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
