import { closeSync, openSync, writeSync } from 'node:fs';
import { systemClock } from '../../device/clock.ts';
import type { Device } from '../../device/device.ts';
import type { DeviceType } from '../../device/device-type.ts';
import type { GuestMemory } from '../../memory/guest-memory.ts';
import type { TraceEvent, TraceHeader } from '../../monitor/trace.ts';
import { formatLine } from '../../monitor/trace-format.ts';
import { recordDevice, recordedType } from '../../record/device.ts';
import { Recorder, type TraceSink } from '../../record/recorder.ts';
import { placesOf, recordedFunction } from '../../record/transports.ts';
import { memoryLayout, type PciDevice } from '../../transports/pci/device.ts';

/** So much of a trace is kept until it is written. */
const PIECE_CHARACTERS = 64 << 10;

/** Writes a trace to a file, piece by piece. What the process has not written when it is killed is lost. */
class TraceFile implements TraceSink {
  readonly #fd: number;
  readonly #onFailed: (error: Error) => void;
  #piece = '';
  #failed = false;

  /** What the file had is gone. `onFailed` is called when it takes no more; what follows is not recorded. */
  constructor(path: string, onFailed: (error: Error) => void) {
    this.#fd = openSync(path, 'w');
    this.#onFailed = onFailed;
  }

  begin(header: TraceHeader): void {
    this.#write(formatLine(header));
  }

  event(event: TraceEvent): void {
    this.#write(formatLine(event));
  }

  close(): void {
    this.#flush();
    closeSync(this.#fd);
  }

  #write(line: string): void {
    if (this.#failed) return;
    this.#piece += `${line}\n`;
    if (this.#piece.length >= PIECE_CHARACTERS) this.#flush();
  }

  /** A full disk is no reason for the device to fail. */
  #flush(): void {
    const piece = Buffer.from(this.#piece);
    this.#piece = '';
    try {
      for (let done = 0; done < piece.length; ) done += writeSync(this.#fd, piece, done);
    } catch (error) {
      this.#failed = true;
      this.#onFailed(error as Error);
    }
  }
}

/** What is recorded of a function that is served, from what its driver does in registers to what is in its rings. */
export interface FunctionTrace {
  /** The device type to make the device with. */
  readonly type: DeviceType;
  /** The function to serve; its device was made with `type`. */
  record(fn: PciDevice, device: Device, memory: GuestMemory): PciDevice;
  /** The machine is about to reset it. */
  reset(): void;
  close(): void;
}

/** Begins a trace of a function with `memoryLayout`. `onFailed` is called when it cannot go on. Throws what the file system says. */
export function traceFunction(path: string, type: DeviceType, onFailed: (error: Error) => void): FunctionTrace {
  const file = new TraceFile(path, onFailed);
  const recorder = new Recorder({ transport: 'pci', device: type.deviceId }, file, systemClock);
  return {
    type: recordedType(recorder, type),
    record: (fn, device, memory) => {
      recordDevice(recorder, device, memory);
      return recordedFunction(recorder, fn, placesOf(memoryLayout.structures));
    },
    // For the device it is the same as a driver's.
    reset: () => recorder.event({ kind: 'status.write', value: 0 }),
    close: () => file.close(),
  };
}
