import type { Device } from '../../device/device.ts';
import { RUNNING_STATUS, Status } from '../../spec/status.ts';

const SUSPENDED_STATUS = (RUNNING_STATUS & ~Status.DRIVER_OK) | Status.SUSPEND;

/** The status values of one suspend and resume: those that the driver writes, and those that the device shows. */
const CYCLE = [
  RUNNING_STATUS,
  RUNNING_STATUS | Status.SUSPEND,
  SUSPENDED_STATUS,
  RUNNING_STATUS | Status.SUSPEND,
  RUNNING_STATUS,
].map(hex);

export function isCycle(statuses: readonly string[]): boolean {
  return statuses.length === CYCLE.length && statuses.every((status, index) => status === CYCLE[index]);
}

/** Follows the status register of a device, and of those that go on with its state, through suspends and resumes. */
export class StatusWatch {
  /** Written and shown values since the last suspend was asked for, the one before it included; each once in a row. */
  statuses: string[] = [];
  /** Cycles with exactly the values that they have to have. */
  cycles = 0;
  resets = 0;
  /** Most requests in flight when a suspend was asked for. */
  mostInFlight = 0;
  /** From each suspend request to the suspended state, in microseconds. */
  readonly drainsUs: number[] = [];
  #asked: number | undefined;
  #waiting: { readonly status: number; readonly shown: () => void } | undefined;

  /** In place of the device's observer. */
  attach(device: Device): void {
    if (this.statuses.length === 0) this.#note(device.status);
    device.observer = {
      statusWritten: (value) => this.#written(device, value),
      statusShown: (status) => this.#shown(status),
    };
  }

  /** Resolves when the device next shows this status. One at a time. */
  next(status: number): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting = { status, shown: resolve };
    });
  }

  #written(device: Device, value: number): void {
    if (value === 0) this.resets++;
    if ((value & Status.SUSPEND) !== 0 && (device.status & Status.SUSPEND) === 0) {
      this.statuses = [hex(device.status)];
      this.mostInFlight = Math.max(this.mostInFlight, device.inFlight);
      this.#asked = performance.now();
    }
    this.#note(value);
  }

  #shown(status: number): void {
    this.#note(status);
    if (status === SUSPENDED_STATUS && this.#asked !== undefined) {
      this.drainsUs.push((performance.now() - this.#asked) * 1000);
      this.#asked = undefined;
    }
    if (status === RUNNING_STATUS && isCycle(this.statuses)) this.cycles++;
    if (this.#waiting?.status !== status) return;
    this.#waiting.shown();
    this.#waiting = undefined;
  }

  #note(status: number): void {
    if (this.statuses.at(-1) !== hex(status)) this.statuses.push(hex(status));
  }
}

function hex(status: number): string {
  return `0x${status.toString(16).padStart(2, '0')}`;
}
