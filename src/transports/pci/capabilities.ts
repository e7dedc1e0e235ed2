import {
  Msix,
  PCI_CAPABILITY_MSIX,
  PCI_CAPABILITY_VENDOR,
  PciHeader,
  VirtioPciCap,
  VirtioPciCapType,
} from '../../spec/pci.ts';

/** Where one of the virtio structures is (§4.1.4). */
export interface PciStructure {
  readonly bar: number;
  readonly offset: number;
  readonly length: number;
}

/** Where all structures of a function are. */
export interface PciStructures {
  readonly common: PciStructure;
  readonly isr: PciStructure;
  readonly notify: PciStructure & { readonly multiplier: number };
  readonly device: PciStructure;
  readonly sharedMemory?: readonly SharedMemoryStructure[];
}

/** A shared memory region: inside its BAR, with an id of its own (§2.10, §4.1.4.7). */
export interface SharedMemoryStructure extends PciStructure {
  readonly id: number;
}

/** Where the MSI-X table and its pending bits are. */
export interface MsixPlace {
  readonly bar: number;
  readonly vectors: number;
  readonly tableOffset: number;
  readonly pendingOffset: number;
}

/** Offset in configuration space of the PCI configuration access capability that `writeCapabilities` makes. */
export const PCI_CFG_CAP = 0x84;
/** Offset of the MSI-X capability, of a function that has one. */
export const MSIX_CAP = 0x98;
const FIRST_CAP = 0x40;
const SPACE_BYTES = 256;

interface Capability {
  readonly id: number;
  readonly bytes: number;
  /** Writes all but id and link. */
  readonly write: (space: DataView, at: number) => void;
}

/**
 * Writes the list of capabilities into a configuration space, and where it begins. Throws RangeError when there are more
 * shared memory regions than there is room for.
 */
export function writeCapabilities(space: DataView, structures: PciStructures, msix: MsixPlace | undefined): void {
  const { common, isr, device, notify, sharedMemory = [] } = structures;
  const capabilities = [
    structure(VirtioPciCapType.COMMON, common),
    structure(VirtioPciCapType.ISR, isr),
    structure(VirtioPciCapType.DEVICE, device),
    structure(VirtioPciCapType.NOTIFY, notify, notify.multiplier),
    structure(VirtioPciCapType.PCI, { bar: 0, offset: 0, length: 0 }, 0),
    ...(msix === undefined ? [] : [msixCapability(msix)]),
    ...sharedMemory.map(sharedMemoryCapability),
  ];
  space.setUint8(PciHeader.CAPABILITIES, FIRST_CAP);
  let at = FIRST_CAP;
  for (const [n, { id, bytes, write }] of capabilities.entries()) {
    if (at + bytes > SPACE_BYTES) throw new RangeError(`${sharedMemory.length} shared memory regions do not fit`);
    space.setUint8(at + VirtioPciCap.VENDOR, id);
    space.setUint8(at + VirtioPciCap.NEXT, n === capabilities.length - 1 ? 0 : at + bytes);
    write(space, at);
    at += bytes;
  }
}

/** struct virtio_pci_cap, and one more word where there is one. */
function structure(type: number, { bar, offset, length }: PciStructure, word?: number): Capability {
  const bytes = VirtioPciCap.BYTES + (word === undefined ? 0 : 4);
  return {
    id: PCI_CAPABILITY_VENDOR,
    bytes,
    write: (space, at) => {
      space.setUint8(at + VirtioPciCap.LENGTH, bytes);
      space.setUint8(at + VirtioPciCap.TYPE, type);
      space.setUint8(at + VirtioPciCap.BAR, bar);
      space.setUint32(at + VirtioPciCap.OFFSET, offset, true);
      space.setUint32(at + VirtioPciCap.SIZE, length, true);
      if (word !== undefined) space.setUint32(at + VirtioPciCap.BYTES, word, true);
    },
  };
}

/** struct virtio_pci_cap64: offset and length have upper halves (§4.1.4.7). */
function sharedMemoryCapability(region: SharedMemoryStructure): Capability {
  const low = structure(VirtioPciCapType.SHARED_MEMORY, {
    bar: region.bar,
    offset: region.offset >>> 0,
    length: region.length >>> 0,
  });
  return {
    id: PCI_CAPABILITY_VENDOR,
    bytes: VirtioPciCap.BYTES_64,
    write: (space, at) => {
      low.write(space, at);
      space.setUint8(at + VirtioPciCap.LENGTH, VirtioPciCap.BYTES_64);
      space.setUint8(at + VirtioPciCap.ID, region.id);
      space.setUint32(at + VirtioPciCap.OFFSET_HIGH, Math.floor(region.offset / 2 ** 32), true);
      space.setUint32(at + VirtioPciCap.SIZE_HIGH, Math.floor(region.length / 2 ** 32), true);
    },
  };
}

function msixCapability({ bar, vectors, tableOffset, pendingOffset }: MsixPlace): Capability {
  return {
    id: PCI_CAPABILITY_MSIX,
    bytes: Msix.BYTES,
    write: (space, at) => {
      space.setUint16(at + Msix.CONTROL, vectors - 1, true);
      space.setUint32(at + Msix.TABLE, tableOffset | bar, true);
      space.setUint32(at + Msix.PENDING, pendingOffset | bar, true);
    },
  };
}
