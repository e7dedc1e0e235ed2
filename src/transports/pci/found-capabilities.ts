import { ProtocolError } from '../../spec/fault.ts';
import {
  Msix,
  PCI_CAPABILITY_MSIX,
  PCI_CAPABILITY_VENDOR,
  PciHeader,
  PciStatus,
  VirtioPciCap,
  VirtioPciCapType,
} from '../../spec/pci.ts';
import type { PciStructure, PciStructures, SharedMemoryStructure } from './capabilities.ts';
import type { PciAccess } from './driver.ts';

/** What a driver needs of a function's capabilities. */
export interface FoundCapabilities {
  readonly structures: PciStructures;
  readonly sharedMemory: readonly SharedMemoryStructure[];
  readonly msix: MsixCapability | undefined;
}

/** The MSI-X capability of a function, as its driver found it. */
export interface MsixCapability {
  /** Of the capability in configuration space. */
  readonly offset: number;
  readonly vectors: number;
  readonly bar: number;
  readonly tableOffset: number;
}

type Found = PciStructure & { readonly id: number; readonly type: number; readonly multiplier: number };

/** A capability list that is longer goes round in circles. */
const MAX_CAPABILITIES = 48;
const LAST_BAR = 5;

/** Walks the capability list. Rejects with ProtocolError when it has no end, or lacks what every virtio device has. */
export async function findCapabilities(access: PciAccess): Promise<FoundCapabilities> {
  const found: Found[] = [];
  let msix: MsixCapability | undefined;
  for (const at of await capabilityList(access)) {
    const id = await access.readConfig(at + VirtioPciCap.VENDOR, 1);
    if (id === PCI_CAPABILITY_VENDOR) found.push(await readStructure(access, at));
    if (id === PCI_CAPABILITY_MSIX) msix ??= await readMsix(access, at);
  }
  // §4.1.4.1: reserved types and BARs are passed over.
  const usable = found.filter(({ bar }) => bar <= LAST_BAR);
  const regions = usable.filter(({ type }) => type === VirtioPciCapType.SHARED_MEMORY);
  return {
    structures: structuresOf(usable),
    // §4.1.4.1: of two that claim the same, the first counts.
    sharedMemory: regions.filter(({ id }, n) => regions.findIndex((other) => other.id === id) === n),
    msix: msix !== undefined && msix.bar <= LAST_BAR ? msix : undefined,
  };
}

async function capabilityList(access: PciAccess): Promise<readonly number[]> {
  const list: number[] = [];
  const hasList = ((await access.readConfig(PciHeader.STATUS, 2)) & PciStatus.CAPABILITIES) !== 0;
  let at = hasList ? (await access.readConfig(PciHeader.CAPABILITIES, 1)) & ~3 : 0;
  while (at !== 0) {
    if (list.length === MAX_CAPABILITIES) {
      throw new ProtocolError('pci.device.cap.list', 'the capability list has no end');
    }
    list.push(at);
    at = (await access.readConfig(at + VirtioPciCap.NEXT, 1)) & ~3;
  }
  return list;
}

/** Fields that only some types have are read for those alone: behind the others lies something else. */
async function readStructure(access: PciAccess, at: number): Promise<Found> {
  const type = await access.readConfig(at + VirtioPciCap.TYPE, 1);
  const is64 = type === VirtioPciCapType.SHARED_MEMORY;
  const high = async (field: number): Promise<number> =>
    is64 ? 2 ** 32 * (await access.readConfig(at + field, 4)) : 0;
  return {
    type,
    id: await access.readConfig(at + VirtioPciCap.ID, 1),
    bar: await access.readConfig(at + VirtioPciCap.BAR, 1),
    offset: (await access.readConfig(at + VirtioPciCap.OFFSET, 4)) + (await high(VirtioPciCap.OFFSET_HIGH)),
    length: (await access.readConfig(at + VirtioPciCap.SIZE, 4)) + (await high(VirtioPciCap.SIZE_HIGH)),
    multiplier: type === VirtioPciCapType.NOTIFY ? await access.readConfig(at + VirtioPciCap.NOTIFY_MULTIPLIER, 4) : 0,
  };
}

async function readMsix(access: PciAccess, at: number): Promise<MsixCapability> {
  const control = await access.readConfig(at + Msix.CONTROL, 2);
  const table = await access.readConfig(at + Msix.TABLE, 4);
  return {
    offset: at,
    vectors: (control & Msix.LAST_VECTOR) + 1,
    bar: table & Msix.BAR_BITS,
    tableOffset: (table & ~Msix.BAR_BITS) >>> 0,
  };
}

function structuresOf(found: readonly Found[]): PciStructures {
  // §4.1.4.1: the first instance of each counts.
  const first = (type: number): Found | undefined => found.find((structure) => structure.type === type);
  const need = (type: number, rule: string, name: string): Found => {
    const structure = first(type);
    if (structure === undefined) throw new ProtocolError(rule, `the device has no ${name} structure`);
    return structure;
  };
  return {
    common: need(VirtioPciCapType.COMMON, 'pci.device.common.2', 'common configuration'),
    isr: need(VirtioPciCapType.ISR, 'pci.device.isr.1', 'ISR'),
    notify: need(VirtioPciCapType.NOTIFY, 'pci.device.notifycap.1', 'notification'),
    device: first(VirtioPciCapType.DEVICE) ?? { bar: 0, offset: 0, length: 0 },
  };
}
