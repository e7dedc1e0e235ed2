import { UnixSocket } from '../../unix/socket.ts';
import { DriverChannel } from './driver-channel.ts';
import { DriverConnection } from './driver-connection.ts';
import { u64 } from './message-reader.ts';
import { MemoryRegionField, MemoryTable, PROTOCOL_FEATURES_BIT, ProtocolFeature } from './messages.ts';

/** Where a front-end says that it has its memory: rings are named by such addresses, other than the guest's. */
export const USER_ADDRESS: number = 2 ** 40;
export const PROTOCOL_FEATURES: bigint = 1n << BigInt(PROTOCOL_FEATURES_BIT);

/** What is asked for, of what there is. */
const WANTED: bigint = [
  ProtocolFeature.MQ,
  ProtocolFeature.REPLY_ACK,
  ProtocolFeature.BACKEND_REQ,
  ProtocolFeature.CONFIG,
  ProtocolFeature.RESET_DEVICE,
  ProtocolFeature.STATUS,
  ProtocolFeature.DEVICE_STATE,
].reduce((set, bit) => set | (1n << BigInt(bit)), 0n);

export interface LinkOptions {
  readonly path: string;
  readonly replyLimitMs: number;
  /** What the two share, at the guest's address 0. The descriptor stays the caller's. */
  readonly memory: { readonly fd: number; readonly bytes: number };
}

/** A front-end's connection to one back-end, with what was negotiated of the protocol, and the channel back. */
export class DriverLink {
  /** Called once when the connection has ended. */
  onLost: ((error: Error) => void) | undefined;
  onConfigChange: (() => void) | undefined;
  /** Feature bits that the back-end offers, those of the protocol among them. */
  offered = 0n;
  /** How many rings there can be. */
  queueCount = 1;
  readonly #connection: DriverConnection;
  #protocol = 0n;
  #channel: DriverChannel | undefined;

  private constructor({ path, replyLimitMs }: LinkOptions) {
    this.#connection = new DriverConnection(UnixSocket.connect(path), replyLimitMs);
    this.#connection.onLost = (error) => {
      this.#channel?.close();
      this.onLost?.(error);
    };
  }

  /** Connects, negotiates, and shares the memory. Rejects with TransportError. */
  static async open(options: LinkOptions): Promise<DriverLink> {
    const link = new DriverLink(options);
    try {
      await link.#negotiate();
      await link.tell('SET_MEM_TABLE', memoryTable(options.memory.bytes), [options.memory.fd]);
      return link;
    } catch (error) {
      link.close();
      throw error;
    }
  }

  /** Whether this protocol feature was negotiated. */
  has(protocolFeature: number): boolean {
    return ((this.#protocol >> BigInt(protocolFeature)) & 1n) === 1n;
  }

  /** Sends a message and waits for its reply. */
  ask(...message: Parameters<DriverConnection['ask']>): Promise<DataView> {
    return this.#connection.ask(...message);
  }

  /** As `ask`, for a reply of one u64. */
  askU64(...message: Parameters<DriverConnection['askU64']>): Promise<bigint> {
    return this.#connection.askU64(...message);
  }

  /**
   * Sends a message and waits until it was handled; rejects with TransportError when it was not obeyed, where the back-end says
   * so. Others are asked something that any of them answers: its reply comes after.
   */
  async tell(...message: Parameters<DriverConnection['order']>): Promise<void> {
    if (this.has(ProtocolFeature.REPLY_ACK)) {
      await this.#connection.order(...message);
      return;
    }
    this.#connection.send(...message);
    await this.#connection.askU64('GET_FEATURES');
  }

  /** Takes what the back-end has said by itself, before the event loop does. */
  hear(): void {
    this.#channel?.hear();
  }

  /** Ends the connection. Calls that wait reject. */
  close(): void {
    this.#channel?.close();
    this.#connection.close();
  }

  async #negotiate(): Promise<void> {
    const connection = this.#connection;
    connection.send('SET_OWNER');
    this.offered = await connection.askU64('GET_FEATURES');
    if ((this.offered & PROTOCOL_FEATURES) !== 0n) {
      this.#protocol = WANTED & (await connection.askU64('GET_PROTOCOL_FEATURES'));
      connection.send('SET_PROTOCOL_FEATURES', u64(this.#protocol));
    }
    if (this.has(ProtocolFeature.MQ)) this.queueCount = Number(await connection.askU64('GET_QUEUE_NUM'));
    if (this.has(ProtocolFeature.BACKEND_REQ)) await this.#openChannel();
  }

  async #openChannel(): Promise<void> {
    const channel = new DriverChannel({
      configChanged: () => this.onConfigChange?.(),
      failed: (error) => this.#connection.fail(error),
    });
    this.#channel = channel;
    await this.tell('SET_BACKEND_REQ_FD', new Uint8Array(0), [channel.far.fd]);
    channel.far.close();
  }
}

/** One region, at the guest's address 0. */
function memoryTable(bytes: number): Uint8Array {
  const view = new DataView(new ArrayBuffer(MemoryTable.REGIONS + MemoryRegionField.BYTES));
  view.setUint32(MemoryTable.COUNT, 1, true);
  view.setBigUint64(MemoryTable.REGIONS + MemoryRegionField.SIZE, BigInt(bytes), true);
  view.setBigUint64(MemoryTable.REGIONS + MemoryRegionField.USER, BigInt(USER_ADDRESS), true);
  return new Uint8Array(view.buffer);
}
