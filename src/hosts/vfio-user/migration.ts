import { StateError } from '../../spec/fault.ts';
import type { PciDevice } from '../../transports/pci/device.ts';
import { DeviceState, Errno } from './messages.ts';
import { Refusal } from './refusal.ts';

/** More is no state of a device. */
const MOST_STATE_BYTES = 64 << 20;

/** Where a change of state goes through; from one to itself there is nothing to do. */
const STOPPED: readonly number[] = [DeviceState.STOP, DeviceState.STOP_COPY, DeviceState.RESUMING];
const SETTABLE: readonly number[] = [...STOPPED, DeviceState.RUNNING];

/**
 * The migration states of a function, without PRE_COPY: every way from one to another leads over STOP, where the device is
 * paused. What is moved is the function's saved state as JSON.
 */
export class Migration {
  readonly #fn: PciDevice;
  readonly #limitMs: number;
  #state: DeviceState = DeviceState.RUNNING;
  /** STOP_COPY: what is still to be read. */
  #outgoing: Uint8Array = new Uint8Array(0);
  /** RESUMING: what came so far. */
  #incoming: Uint8Array[] = [];

  /** What is in processing may take `limitMs` to end when the device is stopped. */
  constructor(fn: PciDevice, limitMs: number) {
    this.#fn = fn;
    this.#limitMs = limitMs;
  }

  get state(): DeviceState {
    return this.#state;
  }

  /** Goes from the present state to another one. Rejects with Refusal when it does not get there. */
  async set(next: number): Promise<void> {
    if (!SETTABLE.includes(next) || this.#state === DeviceState.ERROR) {
      throw new Refusal(Errno.EINVAL, `no way leads from migration state ${this.#state} to ${next}`);
    }
    if (next === this.#state) return;
    await this.#stop();
    if (next === DeviceState.RUNNING) this.#fn.device.continue();
    if (next === DeviceState.STOP_COPY) this.#outgoing = new TextEncoder().encode(JSON.stringify(this.#fn.save()));
    this.#state = next as DeviceState;
  }

  /** The next bytes of the state; fewer than asked for at its end. */
  read(size: number): Uint8Array {
    if (this.#state !== DeviceState.STOP_COPY) throw new Refusal(Errno.EINVAL, 'nothing is being saved');
    const bytes = this.#outgoing.subarray(0, size);
    this.#outgoing = this.#outgoing.subarray(bytes.length);
    return bytes;
  }

  write(bytes: Uint8Array): void {
    if (this.#state !== DeviceState.RESUMING) throw new Refusal(Errno.EINVAL, 'nothing is being restored');
    const total = this.#incoming.reduce((sum, { length }) => sum + length, bytes.length);
    if (total > MOST_STATE_BYTES) throw new Refusal(Errno.ENOSPC, `a state of ${total} bytes is none of a device`);
    this.#incoming.push(bytes.slice());
  }

  /** The function was reset: it is running, whatever it was. */
  reset(): void {
    if (this.#state !== DeviceState.RUNNING) this.#fn.device.continue();
    this.#state = DeviceState.RUNNING;
    this.#clear();
  }

  /** The client is gone in the middle of it; the device stays paused, or whatever it is. */
  abandon(): void {
    this.#state = DeviceState.RUNNING;
    this.#clear();
  }

  /** To STOP from wherever it is. */
  async #stop(): Promise<void> {
    if (this.#state === DeviceState.RUNNING) {
      await this.#fn.device.pause(this.#limitMs).catch((error: Error) => {
        throw new Refusal(error instanceof StateError ? Errno.EBUSY : Errno.EIO, error.message);
      });
    }
    if (this.#state === DeviceState.RESUMING) this.#load();
    this.#clear();
    this.#state = DeviceState.STOP;
  }

  #load(): void {
    const { device } = this.#fn;
    try {
      const state: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(concat(this.#incoming)));
      // A state is taken over by a device as it was made; once reset there is nothing that it could go on with.
      device.reset();
      device.continue();
      this.#fn.restore(state);
      if (!device.paused) throw new StateError('the state was saved of a device that its host had not stopped');
    } catch (error) {
      this.#clear();
      this.#state = DeviceState.ERROR;
      throw new Refusal(Errno.EINVAL, `the state cannot be taken over: ${(error as Error).message}`);
    }
  }

  #clear(): void {
    this.#outgoing = new Uint8Array(0);
    this.#incoming = [];
  }
}

function concat(pieces: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(pieces.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const piece of pieces) {
    bytes.set(piece, at);
    at += piece.length;
  }
  return bytes;
}
