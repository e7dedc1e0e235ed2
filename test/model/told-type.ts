import type { DevicePort, DeviceType, QueueDescription } from '../../src/device/device-type.ts';
import type { Chain } from '../../src/queue/chain.ts';
import { SIZE } from './ring-memory.ts';

export const KNOB = 4;

/** A device type with one queue that does everything when it is told to, each thing one step of the model. */
export class ToldType implements DeviceType {
  readonly deviceId: number = 63;
  readonly features: bigint = 0n;
  readonly queues: readonly QueueDescription[] = [{ maxSize: SIZE, taking: 'eager' }];
  value = 1;
  knob = 0;
  /** Called with the letter of each buffer that is taken. */
  onTake: (letter: string) => void = () => {};
  port!: DevicePort;
  /** Neither answered nor forgotten. */
  readonly #held: { readonly letter: string; readonly chain: Chain }[] = [];
  #step: { readonly what: 'stop' | 'start'; settle(error?: Error): void } | undefined;

  attach(port: DevicePort): void {
    this.port = port;
  }

  config(): Uint8Array {
    const bytes = new Uint8Array(8);
    new DataView(bytes.buffer).setUint32(0, this.value, true);
    bytes[KNOB] = this.knob;
    return bytes;
  }

  writeConfig(offset: number, bytes: Uint8Array): void {
    if (offset === KNOB) this.knob = bytes[0]!;
  }

  process(_: number, chain: Chain): void {
    const letter = String.fromCharCode(chain.readU8(0));
    this.#held.push({ letter, chain });
    this.onTake(letter);
  }

  /** Buffers that it works on, in the order in which they came. */
  get held(): string {
    let letters = '';
    for (const { letter, chain } of this.#held) if (chain.live) letters += letter;
    return letters;
  }

  /** How many of a life before it works on. */
  get orphans(): number {
    return this.#held.filter(({ chain }) => chain.orphaned).length;
  }

  /** What it is doing, if that has not ended. */
  get doing(): 'stop' | 'start' | undefined {
    return this.#step?.what;
  }

  answer(letter: string): void {
    this.#complete(({ chain, letter: its }) => chain.live && its === letter);
  }

  answerOrphan(): void {
    this.#complete(({ chain }) => chain.orphaned);
  }

  change(): void {
    this.value++;
    this.port.configChanged();
  }

  quiesce(): Promise<void> {
    return this.#begin('stop');
  }

  wake(): Promise<void> {
    return this.#begin('start');
  }

  /** Ends what it is doing. */
  end(what: 'stop' | 'start', error?: Error): void {
    const step = this.#step;
    if (step?.what !== what) throw new Error(`the device has not asked its back-end to ${what}`);
    this.#step = undefined;
    step.settle(error);
  }

  #begin(what: 'stop' | 'start'): Promise<void> {
    if (this.#step !== undefined) throw new Error(`${what} within ${this.#step.what}`);
    return new Promise((resolve, reject) => {
      this.#step = { what, settle: (error) => (error === undefined ? resolve() : reject(error)) };
    });
  }

  #complete(isIt: (held: { readonly letter: string; readonly chain: Chain }) => boolean): void {
    const at = this.#held.findIndex(isIt);
    if (at < 0) throw new Error('the device does not hold that buffer');
    const [held] = this.#held.splice(at, 1);
    this.port.complete(0, held!.chain, 0);
  }
}
