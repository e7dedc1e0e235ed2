import type { Chain } from '../../queue/chain.ts';
import { StateError } from '../../spec/fault.ts';
import type { Disk, DiskOperation, DiskRequest } from './disk.ts';
import { BlockHeader, BlockStatus, ID_BYTES } from './layout.ts';
import { emptyRequest, type ParsedRequest } from './parse.ts';

/** What an execution needs of its block device. */
export interface ExecutionOwner {
  readonly disk: Disk;
  /** A completed write has to be stable: flush after each. */
  readonly writeThrough: boolean;
  /** `chain` was answered with `written` bytes; the execution is free. */
  finished(execution: Execution, chain: Chain, written: number): void;
  failed(operation: DiskOperation, error: Error): void;
}

/**
 * One request in flight: carries a parsed request through its disk operations, one after the other, and answers the driver.
 * It is also what the disk sees of the request. Kept in a pool and used again.
 */
export class Execution implements DiskRequest {
  readonly parsed: ParsedRequest = emptyRequest();
  queue = 0;
  operation: DiskOperation = 'read';
  position = 0;
  length = 0;
  mayUnmap = false;

  readonly #owner: ExecutionOwner;
  #chain: Chain | undefined;
  #range = 0;

  constructor(owner: ExecutionOwner) {
    this.#owner = owner;
  }

  /** The chain that is executed; undefined when none is. */
  get chain(): Chain | undefined {
    return this.#chain;
  }

  /** Executes what `parsed` says of `chain`. */
  begin(queue: number, chain: Chain): void {
    this.queue = queue;
    this.#chain = chain;
    this.#range = 0;
    const { kind, status } = this.parsed;
    if (status !== BlockStatus.OK) this.#answer(status);
    else if (kind === 'identify') this.#identify(chain);
    else {
      this.operation = kind;
      this.#submitRange();
    }
  }

  copyData(start: number, target: Uint8Array, targetStart: number, length: number): void {
    const chain = this.#chain;
    if (chain?.live !== true) throw new StateError('the device was reset: the data of this write is gone');
    chain.read(BlockHeader.BYTES + start, target, targetStart, length);
  }

  putData(start: number, source: Uint8Array, sourceStart: number, length: number): void {
    const chain = this.#chain;
    if (chain?.live === true) chain.write(start, source, sourceStart, length);
  }

  complete(): void {
    if (this.#chain === undefined) throw new RangeError('the disk completed a request twice');
    this.#range++;
    if (this.operation !== 'flush' && this.#range < this.parsed.rangeCount) this.#submitRange();
    else if (this.#owner.writeThrough && this.operation !== 'read' && this.operation !== 'flush') this.#submitFlush();
    else this.#answer(BlockStatus.OK);
  }

  fail(error: Error): void {
    if (this.#chain === undefined) throw new RangeError('the disk completed a request twice');
    this.#owner.failed(this.operation, error);
    this.#answer(BlockStatus.IOERR);
  }

  #submitRange(): void {
    const range = this.parsed.ranges[this.#range]!;
    this.position = range.position;
    this.length = range.length;
    this.mayUnmap = range.mayUnmap;
    if (range.length === 0 && this.operation !== 'flush') this.complete();
    else this.#owner.disk.submit(this);
  }

  #submitFlush(): void {
    this.operation = 'flush';
    this.position = 0;
    this.length = 0;
    this.#owner.disk.submit(this);
  }

  #identify(chain: Chain): void {
    const id = new Uint8Array(ID_BYTES);
    const { identity } = this.#owner.disk;
    for (let i = 0; i < Math.min(identity.length, ID_BYTES); i++) id[i] = identity.charCodeAt(i) & 0x7f;
    chain.write(0, id, 0, ID_BYTES);
    this.#answer(BlockStatus.OK);
  }

  /**
   * The status is the last device-writable byte, and the used length counts from the first (§2.7.8.2): what the request has
   * not filled is zeroed, so that the length covers the status and no old bytes pass for data.
   */
  #answer(status: number): void {
    const chain = this.#chain!;
    this.#chain = undefined;
    let written = 0;
    if (chain.live) {
      written = chain.writableBytes;
      zeroFill(chain, status === BlockStatus.OK ? this.#filled(written - 1) : 0, written - 1);
      chain.writeU8(written - 1, status);
    }
    this.#owner.finished(this, chain, written);
  }

  /** How many of `room` bytes before the status a successful request has filled. */
  #filled(room: number): number {
    const { kind } = this.parsed;
    return kind === 'read' ? room : kind === 'identify' ? ID_BYTES : 0;
  }
}

const ZEROES = new Uint8Array(4096);

function zeroFill(chain: Chain, start: number, end: number): void {
  for (let done = start; done < end; done += ZEROES.length) {
    chain.write(done, ZEROES, 0, Math.min(ZEROES.length, end - done));
  }
}
