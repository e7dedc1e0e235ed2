import type { BufferList } from '../queue/buffer-list.ts';
import type { DriverQueue } from '../queue/driver-queue.ts';

/** A request as its queue sees it: buffers, and who is told of their end. One of the two methods is called, once. */
export interface QueuedRequest {
  /** Not changed from `submit` until the end. */
  readonly buffers: BufferList;
  /** The buffers came back; the device wrote the first `written` device-writable bytes. */
  used(written: number): void;
  /** The device was reset or failed: it is unknown what it has done, and it no longer touches the buffers. */
  lost(error: Error): void;
}

/**
 * One virtqueue of a driver: which buffer belongs to which request, and which requests wait for room. Offers of one turn
 * are exposed together, and kicked once.
 */
export class RequestQueue {
  readonly index: number;
  #queue: DriverQueue;
  readonly #kick: (queue: number, nextAvailable: number) => void;
  #out: (QueuedRequest | undefined)[];
  readonly #waiting: QueuedRequest[] = [];
  #open = true;
  #exposing = false;

  constructor(index: number, queue: DriverQueue, kick: (queue: number, nextAvailable: number) => void) {
    this.index = index;
    this.#queue = queue;
    this.#kick = kick;
    this.#out = new Array<QueuedRequest | undefined>(queue.layout.size).fill(undefined);
  }

  get size(): number {
    return this.#queue.layout.size;
  }

  /** Requests that the device has, or that wait for room. */
  get outstanding(): number {
    return this.#queue.outstanding + this.#waiting.length;
  }

  /** Offers a request to the device; when the queue is full, as soon as there is room. Throws RangeError when there never is. */
  submit(request: QueuedRequest): void {
    const { count } = request.buffers;
    const { size } = this.#queue.layout;
    if (count < 1 || count > size)
      throw new RangeError(`a request has 1 to ${size} buffers in this queue, not ${count}`);
    if (this.#waiting.length > 0 || !this.#offer(request)) this.#waiting.push(request);
  }

  /** Hands back everything that the device has used. Throws ProtocolError when the device's side makes no sense. */
  collect(): void {
    do {
      for (let used = this.#queue.collect(); used !== undefined; used = this.#queue.collect()) {
        const request = this.#out[used.id]!;
        this.#out[used.id] = undefined;
        request.used(used.written);
      }
    } while (this.#queue.arm());
    this.#offerWaiting();
  }

  /** From now on nothing is exposed and no kick is sent (§3.4.1). */
  hold(): void {
    this.#open = false;
  }

  /** Ends `hold`: what waits is offered, and the queue is kicked if the device holds anything of it. */
  letGo(): void {
    this.#open = true;
    this.#offerWaiting();
    this.#queue.expose();
    if (this.#queue.outstanding > 0) this.#kick(this.index, this.#queue.nextAvailable);
  }

  /**
   * The device has reset the queue: what it had is lost, with the old rings, and what waited goes on in `queue` after `letGo`.
   * A request that is too long for `queue` is lost, too.
   */
  replace(queue: DriverQueue, error: Error): void {
    const { size } = queue.layout;
    const tooLong = this.#waiting.filter(({ buffers }) => buffers.count > size);
    const lost = [...this.#out.filter((request) => request !== undefined), ...tooLong];
    const waiting = this.#waiting.filter(({ buffers }) => buffers.count <= size);
    this.#waiting.splice(0, this.#waiting.length, ...waiting);
    this.#queue.release();
    this.#queue = queue;
    this.#out = new Array<QueuedRequest | undefined>(size).fill(undefined);
    for (const request of lost) request.lost(error);
  }

  /** Every request is lost. The rings' memory stays taken until `release`. */
  abandon(error: Error): void {
    this.#open = false;
    const lost = [...this.#out.filter((request) => request !== undefined), ...this.#waiting];
    this.#out.fill(undefined);
    this.#waiting.length = 0;
    for (const request of lost) request.lost(error);
  }

  /** Gives the rings' memory back. Only when the device was reset: until then it may write there. */
  release(): void {
    this.#queue.release();
  }

  #offer(request: QueuedRequest): boolean {
    if (!this.#open) return false;
    const id = this.#queue.offer(request.buffers);
    if (id < 0) return false;
    this.#out[id] = request;
    if (!this.#exposing) {
      this.#exposing = true;
      Promise.resolve().then(() => this.#expose());
    }
    return true;
  }

  #offerWaiting(): void {
    while (this.#waiting.length > 0 && this.#offer(this.#waiting[0]!)) this.#waiting.shift();
  }

  #expose(): void {
    this.#exposing = false;
    if (this.#open && this.#queue.expose()) this.#kick(this.index, this.#queue.nextAvailable);
  }
}
