import type { Chain } from '../../queue/chain.ts';
import type { QueueState } from '../../queue/device-queue.ts';
import { ProtocolError } from '../../spec/fault.ts';
import type { InflightQueue, RingInMemory } from './inflight-queue.ts';

/** Of a queue: features u64, version u16, entries u16, head of the last batch u16, used index u16; then the entries. */
const Header = { VERSION: 8, ENTRIES: 10, LAST_BATCH: 12, USED: 14, BYTES: 16 } as const;
/** Of a descriptor: in flight u8, next of its batch u16, when it was taken u64. */
const Entry = { IN_FLIGHT: 0, NEXT: 6, COUNTER: 8, BYTES: 16 } as const;
const VERSION = 1;

/** What a split queue has taken and not used, by the heads of its chains. */
export class SplitInflight implements InflightQueue {
  readonly #view: DataView;
  readonly #size: number;
  #counter = 0;
  /** Heads that were used, which the driver does not see yet. */
  readonly #batch: number[] = [];

  /** `view` is this queue's part of the memory. */
  constructor(view: DataView, size: number) {
    this.#view = view;
    this.#size = size;
  }

  resume(base: QueueState, { usedIndex }: RingInMemory): QueueState {
    const view = this.#view;
    if (view.getUint16(Header.VERSION, true) !== VERSION) {
      view.setUint16(Header.ENTRIES, this.#size, true);
      view.setUint16(Header.USED, base.usedNext, true);
      view.setUint16(Header.VERSION, VERSION, true);
      return base;
    }
    this.#endBatch(usedIndex);
    const taken = this.#inFlight();
    return { format: 'split', usedNext: usedIndex, availableNext: (usedIndex + taken.length) & 0xffff, taken };
  }

  taken({ id }: Chain): void {
    const at = this.#entry(id);
    const counter = this.#counter++;
    this.#view.setUint32(at + Entry.COUNTER, counter, true);
    this.#view.setUint32(at + Entry.COUNTER + 4, Math.floor(counter / 2 ** 32), true);
    this.#view.setUint8(at + Entry.IN_FLIGHT, 1);
  }

  givenBack({ id }: Chain): void {
    this.#view.setUint8(this.#entry(id) + Entry.IN_FLIGHT, 0);
  }

  used({ id }: Chain): void {
    this.#batch.push(id);
  }

  /** Links the batch: whoever finds the used index moved beyond the one written here takes these as used. */
  publishing(): void {
    const view = this.#view;
    let last = view.getUint16(Header.LAST_BATCH, true);
    for (const head of this.#batch) {
      view.setUint16(this.#entry(head) + Entry.NEXT, last, true);
      last = head;
    }
    view.setUint16(Header.LAST_BATCH, last, true);
  }

  published(usedNext: number): void {
    for (const head of this.#batch) this.#view.setUint8(this.#entry(head) + Entry.IN_FLIGHT, 0);
    this.#batch.length = 0;
    this.#view.setUint16(Header.USED, usedNext, true);
  }

  /** The process before may have ended after it had shown a batch, and before it had written so here. */
  #endBatch(usedIndex: number): void {
    const view = this.#view;
    const shown = (usedIndex - view.getUint16(Header.USED, true)) & 0xffff;
    if (shown > this.#size) this.#fail(`a batch of ${shown}`);
    let head = view.getUint16(Header.LAST_BATCH, true);
    for (let n = 0; n < shown; n++) {
      const at = this.#entry(this.#checked(head));
      view.setUint8(at + Entry.IN_FLIGHT, 0);
      head = view.getUint16(at + Entry.NEXT, true);
    }
    view.setUint16(Header.USED, usedIndex, true);
  }

  /** Heads in the order in which they were taken. */
  #inFlight(): number[] {
    const heads: { readonly head: number; readonly counter: number }[] = [];
    for (let head = 0; head < this.#size; head++) {
      const at = this.#entry(head);
      if (this.#view.getUint8(at + Entry.IN_FLIGHT) === 0) continue;
      const low = this.#view.getUint32(at + Entry.COUNTER, true);
      heads.push({ head, counter: this.#view.getUint32(at + Entry.COUNTER + 4, true) * 2 ** 32 + low });
    }
    heads.sort((one, other) => one.counter - other.counter);
    this.#counter = (heads.at(-1)?.counter ?? -1) + 1;
    return heads.map(({ head }) => head);
  }

  #entry(head: number): number {
    return Header.BYTES + Entry.BYTES * head;
  }

  #checked(head: number): number {
    if (head < this.#size) return head;
    return this.#fail(`descriptor ${head}`);
  }

  #fail(what: string): never {
    throw new ProtocolError(
      'vhost.frontend.inflight.entry',
      `what was in flight has ${what} in a ring of ${this.#size}`,
    );
  }
}
