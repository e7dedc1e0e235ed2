import type { AccessWidth } from '../../spec/access-width.ts';
import { PCI_CAPABILITY_VENDOR, PciCommon, PciHeader, VirtioPciCap, VirtioPciCapType } from '../../spec/pci.ts';
import type { PciFunction } from '../../transports/pci/function.ts';
import type { SavedFunction } from './saved-functions.ts';

/** Where a function is plugged in. */
export interface Place {
  readonly pci: PciFunction;
  /** PCI slot; the function number is 0. */
  readonly slot: number;
  /** Port of the I/O BAR until firmware or driver move it. */
  readonly ioBase: number;
}

/** The first offset behind the base address registers. */
const BARS_END = PciHeader.BAR0 + 24;

/** One function in its slot: the two copies of its configuration space, its own and v86's, and its reset. */
export class PluggedFunction implements Place {
  readonly pci: PciFunction;
  readonly slot: number;
  readonly ioBase: number;
  /** v86's number of the function. */
  readonly id: number;
  /** Configuration space as it was before anything was written. */
  readonly initialSpace: Uint8Array;
  /** v86's live copy, by words. Holds the addresses of the BARs; all else follows the function's own. */
  readonly #space: Int32Array;
  readonly #window: number | undefined;
  readonly #status: { readonly bar: number; readonly offset: number } | undefined;

  constructor(place: Place, initialSpace: Uint8Array, space: Int32Array) {
    this.pci = place.pci;
    this.slot = place.slot;
    this.ioBase = place.ioBase;
    this.id = place.slot << 3;
    this.initialSpace = initialSpace;
    this.#space = space;
    const window = capability(initialSpace, VirtioPciCapType.PCI);
    this.#window = window === undefined ? undefined : window + VirtioPciCap.PCI_CFG_DATA;
    this.#status = statusRegister(initialSpace);
    this.takeOverSpace();
  }

  readConfig(offset: number, width: AccessWidth): number {
    if (!isBar(offset)) return this.pci.readConfig(offset, width);
    const word = this.#space[offset >>> 2]! >>> (8 * (offset & 3));
    return width === 4 ? word >>> 0 : word & (2 ** (8 * width) - 1);
  }

  /** A write to anything but a BAR. */
  writeConfig(offset: number, width: AccessWidth, value: number): void {
    this.pci.writeConfig(offset, width, value);
    this.#mirror(offset & ~3);
  }

  /** v86's copy has new BAR addresses or was restored: the function's own follows. */
  takeOverSpace(): void {
    for (const [word, value] of this.#space.entries()) {
      if (word * 4 !== this.#window) this.pci.writeConfig(word * 4, 4, value >>> 0);
    }
  }

  /** As by the reset line of the bus: the device is reset and does not answer until it is set up again. */
  reset(): void {
    if (this.#status !== undefined) this.pci.writeBar(this.#status.bar, this.#status.offset, 1, 0);
    this.writeConfig(PciHeader.COMMAND, 2, 0);
  }

  /** The state of the function, or its reset for one that is to start anew. */
  save(as: 'state' | 'reset'): SavedFunction {
    const { slot, identity } = this;
    return { slot, identity, name: this.pci.name, state: as === 'state' ? this.pci.save() : null };
  }

  /** What the driver sees and cannot change, as text: configuration space but for command, status, interrupt line. */
  get identity(): string {
    return identityOf(this.initialSpace, this.pci);
  }

  /** A read of the window's data would read a register of the device, so that word is left alone. */
  #mirror(offset: number): void {
    if (offset !== this.#window) this.#space[offset >>> 2] = this.pci.readConfig(offset, 4) | 0;
  }
}

/** The part of a configuration space that tells one function from another, as text. */
export function identityOf(space: Uint8Array, pci: PciFunction): string {
  const kept = [...space].filter((_, at) => at !== PciHeader.INTERRUPT_LINE && at >>> 2 !== PciHeader.COMMAND >>> 2);
  const bytes = kept.map((byte) => byte.toString(16).padStart(2, '0')).join('');
  return `${bytes.replace(/(00)+$/, '')} ${pci.bars.map((bar) => `${bar.index}:${bar.size}`).join(' ')}`;
}

/** Whether a word of configuration space belongs to a base address register. */
export function isBar(offset: number): boolean {
  return offset >= PciHeader.BAR0 && offset < BARS_END;
}

/** Offset of the first vendor capability of a type. */
function capability(space: Uint8Array, type: number): number | undefined {
  let at = space[PciHeader.CAPABILITIES]!;
  // At most 48 capabilities fit, so a list that is longer goes in a circle.
  for (let n = 0; at !== 0 && n < 48; n++) {
    const isVendor = space[at + VirtioPciCap.VENDOR] === PCI_CAPABILITY_VENDOR;
    if (isVendor && space[at + VirtioPciCap.TYPE] === type) return at;
    at = space[at + VirtioPciCap.NEXT]!;
  }
  return undefined;
}

/** Where the device status is; undefined when the function is no virtio device. */
function statusRegister(space: Uint8Array): { bar: number; offset: number } | undefined {
  const common = capability(space, VirtioPciCapType.COMMON);
  if (common === undefined) return undefined;
  const view = new DataView(space.buffer, space.byteOffset, space.length);
  const structure = view.getUint32(common + VirtioPciCap.OFFSET, true);
  return { bar: space[common + VirtioPciCap.BAR]!, offset: structure + PciCommon.DEVICE_STATUS };
}
