import type { BlockDriver } from '../../devices/block/driver.ts';
import type { GuestAllocator } from '../../memory/allocator.ts';

/** Bytes of every request of the load. */
const REQUEST_BYTES = 4096;
const REQUEST_SECTORS = REQUEST_BYTES / 512;
/** Blocks that each lane writes and reads in turn. */
const BLOCKS_PER_LANE = 16;

export interface LoadCounts {
  /** Requests that were made, and the writes among them. */
  requests: number;
  writes: number;
  /** Of these, those whose promise was settled. */
  settled: number;
  /** Settled with an error, or with bytes that are not the last ones written. */
  wrong: number;
  firstError: Error | undefined;
}

/**
 * A load that proves itself: `depth` lanes, each with blocks of its own, write a block that is filled with a number never
 * used before, and read it back later. Every request counts, every byte is compared.
 */
export class TaggedLoad {
  readonly counts: LoadCounts = { requests: 0, writes: 0, settled: 0, wrong: 0, firstError: undefined };
  readonly #driver: BlockDriver;
  readonly #allocator: GuestAllocator;
  #lanes: Promise<void>[] = [];
  #gate: { promise: Promise<void>; open: () => void } | undefined;
  #stopped = false;
  #nextTag = 1;

  constructor(driver: BlockDriver, allocator: GuestAllocator) {
    this.#driver = driver;
    this.#allocator = allocator;
  }

  /** Sectors that a disk needs for `depth` lanes. */
  static sectors(depth: number): number {
    return depth * BLOCKS_PER_LANE * REQUEST_SECTORS;
  }

  start(depth: number): void {
    this.#lanes = Array.from({ length: depth }, (_, lane) => this.#run(lane));
  }

  /** Lanes make no new request until `letGo`: what is out stays out. */
  hold(): void {
    let open = (): void => {};
    const promise = new Promise<void>((resolve) => {
      open = resolve;
    });
    this.#gate = { promise, open };
  }

  letGo(): void {
    this.#gate?.open();
    this.#gate = undefined;
  }

  /** Resolves when every lane has ended its last request. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.letGo();
    await Promise.all(this.#lanes);
  }

  async #run(lane: number): Promise<void> {
    const slice = this.#allocator.allocate(REQUEST_BYTES);
    const words = new Uint32Array(
      slice.region.bytes.buffer,
      slice.region.bytes.byteOffset + slice.offset,
      REQUEST_BYTES / 4,
    );
    const written = new Array<number>(BLOCKS_PER_LANE).fill(0);
    for (let turn = 0; !this.#stopped; turn++) {
      const block = turn % BLOCKS_PER_LANE;
      const sector = (lane * BLOCKS_PER_LANE + block) * REQUEST_SECTORS;
      const tag = this.#nextTag++;
      words.fill(tag);
      this.counts.writes++;
      await this.#request(() => this.#driver.writeFrom(sector, slice));
      written[block] = tag;
      const other = (turn * 7) % BLOCKS_PER_LANE;
      words.fill(0xffff_ffff);
      await this.#request(() => this.#driver.readInto((lane * BLOCKS_PER_LANE + other) * REQUEST_SECTORS, slice));
      if (words.some((word) => word !== written[other])) {
        this.#wrong(new Error(`lane ${lane}, block ${other}: read ${words[0]}, written was ${written[other]}`));
      }
    }
    this.#allocator.release(slice);
  }

  async #request(make: () => Promise<void>): Promise<void> {
    while (this.#gate !== undefined) await this.#gate.promise;
    this.counts.requests++;
    try {
      await make();
    } catch (error) {
      this.#wrong(error instanceof Error ? error : new Error(String(error)));
      this.#stopped = true;
    }
    this.counts.settled++;
  }

  #wrong(error: Error): void {
    this.counts.wrong++;
    this.counts.firstError ??= error;
  }
}
