import type { DevicePort, DeviceType, QueueDescription } from '../../device/device-type.ts';
import type { Chain } from '../../queue/chain.ts';
import { DeviceId } from '../../spec/device-ids.ts';
import { StateError } from '../../spec/fault.ts';
import { type FeatureSet, featureSet } from '../../spec/features.ts';
import { ConsoleConfig, ConsoleFeature, ConsoleQueue } from './layout.ts';

export interface ConsoleSize {
  readonly rows: number;
  readonly columns: number;
}

export interface ConsoleOptions {
  /** What the driver prints. A promise holds up the next output until it is settled, and a suspend too. */
  readonly output: (bytes: Uint8Array) => void | Promise<void>;
  readonly size?: ConsoleSize;
  /** `before-1.4` puts the columns first, as drivers made before VIRTIO 1.4 read them: Linux, today. */
  readonly sizeOrder?: 'standard' | 'before-1.4';
  /** Input that waits for buffers at most; what comes beyond is refused by `input`. 64 KiB. */
  readonly inputLimit?: number;
}

/**
 * The console device type (§5.3) with one port. Receive buffers wait in the ring until there is input; input that comes
 * while the device is suspended waits here. A character written to emerg_wr is output at once, whatever the state.
 */
export class ConsoleDevice implements DeviceType {
  readonly deviceId: number = DeviceId.CONSOLE;
  readonly features: FeatureSet = featureSet(ConsoleFeature.SIZE, ConsoleFeature.EMERG_WRITE);
  readonly queues: readonly QueueDescription[] = [
    { maxSize: 64, taking: 'onDemand' },
    { maxSize: 64, taking: 'eager' },
  ];
  readonly #options: ConsoleOptions;
  #port!: DevicePort;
  #size: ConsoleSize;
  #input: number[] = [];
  #lastOutput: Promise<void> | undefined;

  constructor(options: ConsoleOptions) {
    this.#options = options;
    this.#size = options.size ?? { rows: 25, columns: 80 };
  }

  attach(port: DevicePort): void {
    this.#port = port;
  }

  config(): Uint8Array {
    const bytes = new Uint8Array(ConsoleConfig.BYTES);
    const view = new DataView(bytes.buffer);
    const { rows, columns } = this.#size;
    const swapped = this.#options.sizeOrder === 'before-1.4';
    view.setUint16(ConsoleConfig.ROWS, swapped ? columns : rows, true);
    view.setUint16(ConsoleConfig.COLS, swapped ? rows : columns, true);
    return bytes;
  }

  /** emerg_wr can be written at any time (§5.3.5.1), while suspended too. */
  alwaysWritable(offset: number, length: number): boolean {
    return offset === ConsoleConfig.EMERG_WR && length <= 4;
  }

  writeConfig(offset: number, bytes: Uint8Array): void {
    if (offset === ConsoleConfig.EMERG_WR) void this.#options.output(bytes.slice(0, 1));
  }

  /** The terminal has another size now. */
  resize(size: ConsoleSize): void {
    this.#size = size;
    this.#port.configChanged();
  }

  /** Bytes that are typed. False when so many wait already that they were not taken. */
  input(bytes: Uint8Array): boolean {
    if (this.#input.length + bytes.length > (this.#options.inputLimit ?? 65_536)) return false;
    for (const byte of bytes) this.#input.push(byte);
    this.#deliver();
    return true;
  }

  available(queue: number): void {
    if (queue === ConsoleQueue.RECEIVE) this.#deliver();
  }

  process(queue: number, chain: Chain): void {
    const bytes = new Uint8Array(chain.readableBytes);
    chain.read(0, bytes, 0, bytes.length);
    const written = this.#lastOutput === undefined ? this.#options.output(bytes) : this.#after(this.#lastOutput, bytes);
    if (written === undefined) {
      this.#port.complete(queue, chain, 0);
      return;
    }
    const ended = written.then(
      () => this.#port.complete(queue, chain, 0),
      (error: unknown) => {
        this.#port.complete(queue, chain, 0);
        this.#port.fail(error instanceof Error ? error : new Error(String(error)));
      },
    );
    this.#lastOutput = ended;
    void ended.then(() => {
      if (this.#lastOutput === ended) this.#lastOutput = undefined;
    });
  }

  save(): unknown {
    return { input: [...this.#input] };
  }

  restore(state: unknown): void {
    const input = (state as { input?: unknown } | null | undefined)?.input;
    if (!Array.isArray(input) || !input.every((byte) => Number.isInteger(byte) && byte >= 0 && byte <= 255)) {
      throw new StateError('the saved console does not say which input was waiting');
    }
    this.#input = [...(input as number[])];
  }

  async #after(before: Promise<void>, bytes: Uint8Array): Promise<void> {
    await before;
    await this.#options.output(bytes);
  }

  #deliver(): void {
    while (this.#input.length > 0) {
      const chain = this.#port.take(ConsoleQueue.RECEIVE);
      if (chain === undefined) return;
      const piece = Uint8Array.from(this.#input.splice(0, chain.writableBytes));
      chain.write(0, piece, 0, piece.length);
      this.#port.complete(ConsoleQueue.RECEIVE, chain, piece.length);
    }
  }
}
