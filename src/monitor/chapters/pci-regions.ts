import { PciHeader, VirtioPciCap, VirtioPciCapType } from '../../spec/pci.ts';
import type { Check, Findings } from '../rule.ts';
import type { Located, PciAccess } from '../trace.ts';
import { FunctionSpace } from './pci-space.ts';

const BARS = 6;
const ALL_ONES = 0xffff_ffff;
/** Of a memory BAR, what is not its address; and how one says that the next BAR is its upper half. */
const FLAGS = 0xf;
const IS_IO = 0x1;
const TYPE = 0x6;
const IS_64_BIT = 0x4;

/** How large BARs are: a driver finds out by writing ones to each and reading which of them stay (PCI 3.0, 6.2.5.1). */
class BarSizes {
  readonly #asked = new Set<number>();
  readonly #read = new Map<number, number>();

  follow({ structure, access, offset, width, value }: Located<PciAccess>): void {
    const bar = (offset - PciHeader.BAR0) / 4;
    if (structure !== 'space' || width !== 4 || !Number.isInteger(bar) || bar < 0 || bar >= BARS) return;
    if (access === 'write') {
      if (value === ALL_ONES) this.#asked.add(bar);
      else this.#asked.delete(bar);
    } else if (this.#asked.has(bar)) this.#read.set(bar, value);
  }

  /** Undefined where nobody has asked, and for what is no memory. */
  of(bar: number): number | undefined {
    const low = this.#read.get(bar);
    if (low === undefined || (low & IS_IO) !== 0) return undefined;
    const high = (low & TYPE) === IS_64_BIT ? this.#read.get(bar + 1) : ALL_ONES;
    const mask = (low & ~FLAGS) >>> 0;
    if (high === undefined || (mask === 0 && high === 0)) return undefined;
    // What stays of the ones is the complement of the size less one.
    return mask === 0 ? lowestBit(high) * 0x1_0000_0000 : lowestBit(mask);
  }
}

function lowestBit(value: number): number {
  return (value & -value) >>> 0;
}

/** Each region of shared memory is inside its BAR, as far as the driver has read both. */
export function regionsFit({ passed, failed }: Findings): Check {
  const space = new FunctionSpace();
  const sizes = new BarSizes();
  let isJudged = false;
  const judge = (): void => {
    if (isJudged) return;
    isJudged = true;
    for (const { type, at, bar, offset, length } of space.virtio) {
      if (type !== VirtioPciCapType.SHARED_MEMORY || bar === undefined) continue;
      const size = sizes.of(bar);
      const [offsetHigh, lengthHigh] = [VirtioPciCap.OFFSET_HIGH, VirtioPciCap.SIZE_HIGH].map((o) =>
        space.field(at + o, 4),
      );
      if (size === undefined || offset === undefined || length === undefined) continue;
      if (offsetHigh === undefined || lengthHigh === undefined) continue;
      const end = offset + length + (offsetHigh + lengthHigh) * 0x1_0000_0000;
      if (end <= size) passed();
      else failed(`a region ends at ${end} of a BAR of ${size} bytes`, space.last);
    }
  };
  return {
    pci: (event) => {
      if (event.structure !== 'space') {
        judge();
        return;
      }
      space.follow(event);
      sizes.follow(event);
    },
    end: judge,
  };
}
