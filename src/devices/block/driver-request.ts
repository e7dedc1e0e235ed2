import type { QueuedRequest } from '../../driver/request-queue.ts';
import type { GuestSlice } from '../../memory/allocator.ts';
import { BufferList } from '../../queue/buffer-list.ts';
import { ProtocolError } from '../../spec/fault.ts';
import type { BlockInfo } from './driver.ts';
import { BlockHeader, BlockRequestType, BlockStatus } from './layout.ts';

/** The device answered a request with an error status. */
export class BlockError extends Error {
  readonly status: 'IOERR' | 'UNSUPP';

  constructor(status: 'IOERR' | 'UNSUPP', message: string) {
    super(message);
    this.name = 'BlockError';
    this.status = status;
  }
}

/** What the status byte holds until the device writes it. */
const UNWRITTEN = 0xff;

/** One request of a block driver: its header and status in guest memory, and the promise of its answer. Used again. */
export class BlockRequest implements QueuedRequest {
  /** Bytes of guest memory for the header and the status. */
  static readonly BYTES: number = BlockHeader.BYTES + 1;

  readonly buffers: BufferList = new BufferList();
  settle: { resolve: () => void; reject: (error: Error) => void } | undefined;
  readonly #slice: GuestSlice;
  readonly #free: (request: BlockRequest) => void;

  constructor(slice: GuestSlice, free: (request: BlockRequest) => void) {
    this.#slice = slice;
    this.#free = free;
  }

  /** A request with data: to the device for OUT, discard and write zeroes, from it else. */
  transfer(type: number, sector: number, data: GuestSlice, info: BlockInfo): this {
    const segments = Math.ceil(data.length / info.sizeMax);
    if (segments > info.segMax) {
      this.#free(this);
      throw new RangeError(
        `${data.length} bytes are ${segments} segments; the device takes ${info.segMax} of ${info.sizeMax} bytes`,
      );
    }
    const fromDevice = type === BlockRequestType.IN || type === BlockRequestType.GET_ID;
    const list = this.#begin(type, sector);
    for (let done = 0; done < data.length; done += info.sizeMax) {
      const length = Math.min(info.sizeMax, data.length - done);
      if (fromDevice) list.addWritable(data.address + done, length);
      else list.addReadable(data.address + done, length);
    }
    this.#end();
    return this;
  }

  /** A request without data. */
  command(type: number): this {
    this.#begin(type, 0);
    this.#end();
    return this;
  }

  used(written: number): void {
    const status = this.#slice.region.bytes[this.#statusOffset]!;
    const { writableBytes } = this.buffers;
    // The status is the last byte: nothing may be assumed of it unless the device says that it wrote that far (§2.7.8.3).
    if (status === UNWRITTEN || written < writableBytes) {
      this.#reject(
        new ProtocolError(
          'split.device.used.2',
          `the device wrote ${written} of ${writableBytes} bytes, and so no status`,
        ),
      );
    } else if (status === BlockStatus.OK) this.#settled()?.resolve();
    else if (status === BlockStatus.IOERR)
      this.#reject(new BlockError('IOERR', 'the device answered with an I/O error'));
    else if (status === BlockStatus.UNSUPP)
      this.#reject(new BlockError('UNSUPP', 'the device does not support this request'));
    else this.#reject(new ProtocolError('blk.device.op.status', `the device answered with status ${status}`));
  }

  lost(error: Error): void {
    this.#reject(error);
  }

  get #statusOffset(): number {
    return this.#slice.offset + BlockHeader.BYTES;
  }

  #begin(type: number, sector: number): BufferList {
    const { view } = this.#slice.region;
    view.setUint32(this.#slice.offset + BlockHeader.TYPE, type, true);
    view.setUint32(this.#slice.offset + 4, 0, true);
    view.setUint32(this.#slice.offset + BlockHeader.SECTOR, sector >>> 0, true);
    view.setUint32(this.#slice.offset + BlockHeader.SECTOR + 4, Math.floor(sector / 0x1_0000_0000), true);
    view.setUint8(this.#statusOffset, UNWRITTEN);
    return this.buffers.clear().addReadable(this.#slice.address, BlockHeader.BYTES);
  }

  #end(): void {
    this.buffers.addWritable(this.#slice.address + BlockHeader.BYTES, 1);
  }

  #reject(error: Error): void {
    this.#settled()?.reject(error);
  }

  #settled(): { resolve: () => void; reject: (error: Error) => void } | undefined {
    const { settle } = this;
    this.settle = undefined;
    this.#free(this);
    return settle;
  }
}
