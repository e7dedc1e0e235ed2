import type { Device } from '../../device/device.ts';
import { ProtocolError } from '../../spec/fault.ts';
import { readAll, type StateStream, writeAll } from './state-stream.ts';

/** Of SET_DEVICE_STATE_FD. */
export const Direction = { SAVE: 0, LOAD: 1 } as const;

/**
 * The device's state on its way out or in: as JSON through a descriptor of the front-end's. Out of a device that its driver has
 * suspended, or whose rings are all stopped; into one that was not started.
 */
export class StateTransfer {
  readonly #device: Device;
  #stream: StateStream | undefined;
  #result: 'none' | 'under way' | 'done' | Error = 'none';
  #waiter: ((result: 'done' | Error) => void) | undefined;
  /** What has come, until it is checked. */
  #loaded: Uint8Array | undefined;

  constructor(device: Device) {
    this.#device = device;
  }

  /** The event loop is needed. */
  get underWay(): boolean {
    return this.#result === 'under way';
  }

  /** Takes over the descriptor. */
  save(fd: number): void {
    this.#begin();
    const device = this.#device;
    const write = (): void => {
      const bytes = new TextEncoder().encode(JSON.stringify(device.save()));
      this.#stream = writeAll(fd, bytes, (error) => this.#end(error ?? 'done'));
    };
    if (device.isQuiet) {
      write();
      return;
    }
    device
      .pause()
      .then(write)
      .catch((error: Error) => this.#end(error))
      .finally(() => device.continue());
  }

  /** Takes over the descriptor. */
  load(fd: number): void {
    this.#begin();
    this.#stream = readAll(fd, (result) => {
      if (!(result instanceof Error)) this.#loaded = result;
      this.#end(result instanceof Error ? result : 'done');
    });
  }

  /** Calls `answer` when the transfer has ended; then what was loaded is the device's state, or the error says why not. */
  check(answer: (result: 'done' | Error) => void): void {
    if (this.#result === 'none')
      throw new ProtocolError('vhost.frontend.state', 'there was no state to be transferred');
    if (this.#result === 'under way') this.#waiter = answer;
    else answer(this.#take(this.#result));
  }

  cancel(): void {
    this.#waiter = undefined;
    this.#stream?.cancel();
  }

  #begin(): void {
    if (this.underWay) throw new ProtocolError('vhost.frontend.state', 'a state is transferred already');
    this.#result = 'under way';
    this.#loaded = undefined;
  }

  #end(result: 'done' | Error): void {
    this.#result = result;
    const waiter = this.#waiter;
    this.#waiter = undefined;
    waiter?.(this.#take(result));
  }

  /** A device that was paused when it was saved goes on: that was its host's doing, and this is another one. */
  #take(result: 'done' | Error): 'done' | Error {
    if (result instanceof Error || this.#loaded === undefined) return result;
    const text = new TextDecoder().decode(this.#loaded);
    this.#loaded = undefined;
    try {
      this.#device.reset();
      this.#device.restore(JSON.parse(text));
      if (this.#device.paused) this.#device.continue();
      return 'done';
    } catch (error) {
      return error as Error;
    }
  }
}
