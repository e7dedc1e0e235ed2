import { PCI_CAPABILITY_VENDOR, VirtioPciCap, VirtioPciCapType } from '../../spec/pci.ts';

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
}

/** Offset in configuration space of the PCI configuration access capability that `writeCapabilities` makes. */
export const PCI_CFG_CAP = 0x84;
const FIRST_CAP = 0x40;

/** Writes the vendor capabilities for `structures` into a configuration space; the first is at 0x40. */
export function writeCapabilities(space: DataView, structures: PciStructures): number {
  const plain = (type: number, structure: PciStructure): Capability => ({ type, structure, bytes: VirtioPciCap.BYTES });
  const capabilities: Capability[] = [
    plain(VirtioPciCapType.COMMON, structures.common),
    plain(VirtioPciCapType.ISR, structures.isr),
    plain(VirtioPciCapType.DEVICE, structures.device),
    { type: VirtioPciCapType.NOTIFY, structure: structures.notify, bytes: VirtioPciCap.BYTES + 4 },
    { type: VirtioPciCapType.PCI, structure: { bar: 0, offset: 0, length: 0 }, bytes: VirtioPciCap.BYTES + 4 },
  ];
  let at = FIRST_CAP;
  capabilities.forEach(({ type, structure, bytes }, n) => {
    const last = n === capabilities.length - 1;
    space.setUint8(at + VirtioPciCap.VENDOR, PCI_CAPABILITY_VENDOR);
    space.setUint8(at + VirtioPciCap.NEXT, last ? 0 : at + bytes);
    space.setUint8(at + VirtioPciCap.LENGTH, bytes);
    space.setUint8(at + VirtioPciCap.TYPE, type);
    space.setUint8(at + VirtioPciCap.BAR, structure.bar);
    space.setUint32(at + VirtioPciCap.OFFSET, structure.offset, true);
    space.setUint32(at + VirtioPciCap.SIZE, structure.length, true);
    if (type === VirtioPciCapType.NOTIFY) {
      space.setUint32(at + VirtioPciCap.NOTIFY_MULTIPLIER, structures.notify.multiplier, true);
    }
    at += bytes;
  });
  return FIRST_CAP;
}

interface Capability {
  readonly type: number;
  readonly structure: PciStructure;
  readonly bytes: number;
}
