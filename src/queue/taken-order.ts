import type { Chain } from './chain.ts';

/**
 * The chains of an IN_ORDER queue that are taken, oldest first (§2.7.9, §2.8.8). One that is complete before an older one
 * waits here: a back-end may end its work in any order.
 */
export class TakenOrder {
  /** A ring: as many as the queue has entries, from `#first` on. */
  readonly #chains: (Chain | undefined)[];
  #first = 0;
  #count = 0;

  constructor(size: number) {
    this.#chains = new Array<Chain | undefined>(size).fill(undefined);
  }

  /** A chain was taken. */
  push(chain: Chain): void {
    this.#chains[this.#at(this.#count++)] = chain;
  }

  /** The chain that was taken last was given back. */
  pop(): void {
    this.#chains[this.#at(--this.#count)] = undefined;
  }

  /** Takes out the oldest chain if it is complete. */
  shift(): Chain | undefined {
    const chain = this.#chains[this.#first];
    if (chain === undefined || chain.live) return undefined;
    this.#chains[this.#first] = undefined;
    this.#first = this.#at(1);
    this.#count--;
    return chain;
  }

  #at(n: number): number {
    const index = this.#first + n;
    return index < this.#chains.length ? index : index - this.#chains.length;
  }
}
