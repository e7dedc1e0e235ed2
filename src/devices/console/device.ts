import type { DevicePort, DeviceType, QueueDescription } from '../../device/device-type.ts';
import type { Chain } from '../../queue/chain.ts';
import { DeviceId } from '../../spec/device-ids.ts';
import { ProtocolError, StateError } from '../../spec/fault.ts';
import { type FeatureSet, featureSet } from '../../spec/features.ts';
import { ConsoleConfig, ConsoleFeature, ConsoleQueue, type ConsoleSize, type SizeOrder, writeSize } from './layout.ts';

export interface ConsoleOptions {
  /**
   * What the driver prints; the bytes are the receiver's. A promise holds up the next output until it is settled, and a
   * suspend too. A throw or rejection fails the device.
   */
  readonly output: (bytes: Uint8Array) => void | Promise<void>;
  /** 25 rows of 80 columns. */
  readonly size?: ConsoleSize;
  readonly sizeOrder?: SizeOrder;
  /** Input that waits for buffers at most; what comes beyond is refused by `input`. 64 KiB. */
  readonly inputLimit?: number;
}

/** The most that `output` gets at a time: a driver may describe a buffer of 4 GiB. */
const PIECE = 65_536;

/**
 * The console device type (§5.3) with one port. Receive buffers wait in the ring until there is input; input that comes
 * while the device is suspended, or has no driver, waits here. A buffer to print is taken only when the one before was
 * output, so that a suspend waits for one at most. A character written to emerg_wr is output at once, whatever the state.
 */
export class ConsoleDevice implements DeviceType {
  readonly deviceId: number = DeviceId.CONSOLE;
  readonly features: FeatureSet = featureSet(ConsoleFeature.SIZE, ConsoleFeature.EMERG_WRITE);
  readonly queues: readonly QueueDescription[] = [
    { maxSize: 64, taking: 'onDemand' },
    { maxSize: 64, taking: 'onDemand' },
  ];
  readonly #options: ConsoleOptions;
  #port: DevicePort | undefined;
  #size: ConsoleSize;
  #input: number[] = [];
  /** `output` has not settled yet; the buffer that it is given, unless a reset took that away. */
  #blocked = false;
  #printing: Chain | undefined;

  constructor(options: ConsoleOptions) {
    this.#options = options;
    this.#size = checkedSize(options.size ?? { rows: 25, columns: 80 });
  }

  attach(port: DevicePort): void {
    this.#port = port;
  }

  config(): Uint8Array {
    const bytes = new Uint8Array(ConsoleConfig.BYTES);
    writeSize(bytes, this.#size, this.#options.sizeOrder);
    return bytes;
  }

  /** emerg_wr can be written at any time (§5.3.5.1), while suspended too. */
  alwaysWritable(offset: number): boolean {
    return offset === ConsoleConfig.EMERG_WR;
  }

  writeConfig(offset: number, bytes: Uint8Array): void {
    if (offset !== ConsoleConfig.EMERG_WR) return;
    const written = this.#options.output(bytes.slice(0, 1));
    if (written !== undefined) written.catch((error: unknown) => this.#port?.fail(asError(error)));
  }

  /** The terminal has another size now. Throws RangeError when it has more than 65535 rows or columns. */
  resize(size: ConsoleSize): void {
    this.#size = checkedSize(size);
    this.#port?.configChanged();
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
    else this.#transmit();
  }

  /** Input goes on waiting. A blocked output does not keep the next life's input waiting, only its output. */
  reset(): void {
    const chain = this.#printing;
    this.#printing = undefined;
    if (chain !== undefined) this.#port?.complete(ConsoleQueue.TRANSMIT, chain, 0);
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

  #deliver(): void {
    while (this.#input.length > 0) {
      const chain = this.#port?.take(ConsoleQueue.RECEIVE);
      if (chain === undefined) return;
      if (chain.readableBytes > 0 || chain.writableBytes === 0) {
        const rule = chain.readableBytes > 0 ? 'console.driver.op.1' : 'console.driver.rx.empty';
        const parts = `${chain.readableBytes} device-readable and ${chain.writableBytes} device-writable bytes`;
        this.#end(ConsoleQueue.RECEIVE, chain, new ProtocolError(rule, `a receive buffer of ${parts}`));
        return;
      }
      const piece = Uint8Array.from(this.#input.splice(0, chain.writableBytes));
      chain.write(0, piece, 0, piece.length);
      this.#port?.complete(ConsoleQueue.RECEIVE, chain, piece.length);
    }
  }

  #transmit(): void {
    while (!this.#blocked) {
      const chain = this.#port?.take(ConsoleQueue.TRANSMIT);
      if (chain === undefined) return;
      if (chain.writableBytes > 0) {
        const what = `a transmit buffer of ${chain.writableBytes} device-writable bytes`;
        this.#end(ConsoleQueue.TRANSMIT, chain, new ProtocolError('console.driver.op.2', what));
      } else this.#print(chain, 0);
    }
  }

  /** Outputs a buffer from `start` on, and hands it back. */
  #print(chain: Chain, start: number): void {
    let position = start;
    try {
      // A buffer that a failure took away meanwhile is not read any more.
      while (chain.live && position < chain.readableBytes) {
        const bytes = new Uint8Array(Math.min(PIECE, chain.readableBytes - position));
        chain.read(position, bytes, 0, bytes.length);
        position += bytes.length;
        const written = this.#options.output(bytes);
        if (written === undefined) continue;
        this.#blocked = true;
        this.#printing = chain;
        written.then(
          () => this.#unblocked(chain, () => this.#print(chain, position)),
          (error: unknown) => {
            this.#unblocked(chain, () => this.#end(ConsoleQueue.TRANSMIT, chain, asError(error)));
          },
        );
        return;
      }
    } catch (error) {
      this.#end(ConsoleQueue.TRANSMIT, chain, asError(error));
      return;
    }
    this.#port?.complete(ConsoleQueue.TRANSMIT, chain, 0);
  }

  #unblocked(chain: Chain, goOn: () => void): void {
    this.#blocked = false;
    if (this.#printing === chain) {
      this.#printing = undefined;
      goOn();
    }
    this.#transmit();
  }

  /** The device cannot go on; the failure comes first, so that a suspend that waits for this buffer does not succeed. */
  #end(queue: number, chain: Chain, error: Error): void {
    this.#port?.fail(error);
    this.#port?.complete(queue, chain, 0);
  }
}

function checkedSize(size: ConsoleSize): ConsoleSize {
  for (const count of [size.rows, size.columns]) {
    if (!Number.isInteger(count) || count < 0 || count > 0xffff) {
      throw new RangeError(`a console of ${size.rows} rows and ${size.columns} columns; each is 0 to 65535`);
    }
  }
  return size;
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}
