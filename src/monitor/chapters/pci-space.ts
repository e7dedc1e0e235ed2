import {
  Msix,
  PCI_CAPABILITY_MSIX,
  PCI_CAPABILITY_VENDOR,
  PciHeader,
  VirtioPciCap,
  type VirtioPciCapType,
} from '../../spec/pci.ts';
import type { Check } from '../rule.ts';
import type { Located, PciAccess } from '../trace.ts';

/** More would go round in circles. */
const MOST_CAPABILITIES = 48;

/** A virtio capability, with what the driver has read of it. */
export interface VirtioCapability {
  readonly at: number;
  readonly type: number | undefined;
  /** Of the capability itself. */
  readonly bytes: number | undefined;
  readonly bar: number | undefined;
  readonly id: number | undefined;
  readonly offset: number | undefined;
  readonly length: number | undefined;
}

/** The configuration space of a function, as far as its driver has looked at it. */
export class FunctionSpace {
  readonly #bytes = new Map<number, number>();
  /** The access that told of it last. */
  last: Located<PciAccess> | undefined;

  follow(event: Located<PciAccess>): void {
    const { structure, offset, width, value } = event;
    if (structure !== 'space') return;
    for (let n = 0; n < width; n++) this.#bytes.set(offset + n, Math.floor(value / 2 ** (8 * n)) & 0xff);
    this.last = event;
  }

  /** A field of 1, 2 or 4 bytes; undefined where the driver has not read all of it. */
  field(offset: number, width: number): number | undefined {
    let value = 0;
    for (let n = 0; n < width; n++) {
      const byte = this.#bytes.get(offset + n);
      if (byte === undefined) return undefined;
      value += byte * 2 ** (8 * n);
    }
    return value;
  }

  get virtio(): readonly VirtioCapability[] {
    return this.#of(PCI_CAPABILITY_VENDOR).map((at) => ({
      at,
      type: this.field(at + VirtioPciCap.TYPE, 1),
      bytes: this.field(at + VirtioPciCap.LENGTH, 1),
      bar: this.field(at + VirtioPciCap.BAR, 1),
      id: this.field(at + VirtioPciCap.ID, 1),
      offset: this.field(at + VirtioPciCap.OFFSET, 4),
      length: this.field(at + VirtioPciCap.SIZE, 4),
    }));
  }

  /** The first one of a type. */
  first(type: VirtioPciCapTypeValue): VirtioCapability | undefined {
    return this.virtio.find((capability) => capability.type === type);
  }

  /** The driver has been at the end of the list. */
  get isComplete(): boolean {
    return this.#list().isComplete;
  }

  get msixEnabled(): boolean {
    return ((this.#msixControl ?? 0) & Msix.ENABLE) !== 0;
  }

  /** How many vectors there are; undefined while that is not known. */
  get vectors(): number | undefined {
    const control = this.#msixControl;
    return control === undefined ? undefined : (control & Msix.LAST_VECTOR) + 1;
  }

  get #msixControl(): number | undefined {
    const [at] = this.#of(PCI_CAPABILITY_MSIX);
    return at === undefined ? undefined : this.field(at + Msix.CONTROL, 2);
  }

  #of(id: number): readonly number[] {
    return this.#list().places.filter((at) => this.field(at + VirtioPciCap.VENDOR, 1) === id);
  }

  #list(): { readonly places: readonly number[]; readonly isComplete: boolean } {
    const places: number[] = [];
    let at = this.field(PciHeader.CAPABILITIES, 1);
    while (at !== undefined && at >= 4 && places.length < MOST_CAPABILITIES) {
      at -= at % 4;
      places.push(at);
      at = this.field(at + VirtioPciCap.NEXT, 1);
    }
    return { places, isComplete: at !== undefined && at < 4 };
  }
}

type VirtioPciCapTypeValue = (typeof VirtioPciCapType)[keyof typeof VirtioPciCapType];

/** Calls back once, when the driver has looked at all capabilities and goes on. */
export function whenFound(judge: (space: FunctionSpace) => void): Check {
  const space = new FunctionSpace();
  let isJudged = false;
  const decide = (): void => {
    if (!isJudged && space.isComplete) judge(space);
    isJudged = true;
  };
  return {
    pci: (event) => {
      if (event.structure === 'space' && !isJudged) space.follow(event);
      else decide();
    },
    end: decide,
  };
}
