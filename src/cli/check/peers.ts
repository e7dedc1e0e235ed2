import { systemClock } from '../../device/clock.ts';
import type { DriverTransport } from '../../driver/transport.ts';
import { VfioUserClient } from '../../hosts/vfio-user/client.ts';
import { VhostUserTransport } from '../../hosts/vhost-user/driver-transport.ts';
import { GuestAllocator } from '../../memory/allocator.ts';
import type { GuestMemory } from '../../memory/guest-memory.ts';
import type { TraceTransport } from '../../monitor/trace.ts';
import { QueuesSeen } from '../../record/queues-seen.ts';
import { Recorder, TraceLines } from '../../record/recorder.ts';
import { placesOf, recordedInterrupts, recordedMmio, recordedPci, recordedTransport } from '../../record/transports.ts';
import { DeviceId } from '../../spec/device-ids.ts';
import { Mmio } from '../../spec/mmio.ts';
import { PCI_DEVICE_BASE, PciHeader, VirtioPciCap } from '../../spec/pci.ts';
import { type MmioAccess, MmioDriverTransport } from '../../transports/mmio/driver.ts';
import { type PciAccess, PciDriverTransport } from '../../transports/pci/driver.ts';
import { findCapabilities } from '../../transports/pci/found-capabilities.ts';
import { unseen } from './bench.ts';
import { mmioRegisters, pciRegisters, type ShownRegisters } from './shown-registers.ts';

const FIRST_FREE = 0x1000;

/** A device in another process that was reached, and a recorder between it and its driver. */
export interface Reached {
  readonly transport: DriverTransport;
  /** What the two share. */
  readonly memory: GuestMemory;
  /** Of memory that is the driver's alone. */
  readonly allocator: GuestAllocator;
  readonly trace: readonly string[];
  /** Where it has any that can be read. */
  readonly registers?: ShownRegisters;
  /** Lets the recorder look at the queues. */
  look(): void;
  /** Does something about the queues that the recorder is not to see. */
  unseen<T>(action: () => Promise<T>): Promise<T>;
  close(): Promise<void> | void;
}

/** A way to a device that is elsewhere. Rejects when there is none. */
export type Reach = () => Promise<Reached>;

/** A block device behind vhost-user, which does not say of which type it is. */
export async function reachVhostUser(path: string): Promise<Reached> {
  const transport = await VhostUserTransport.open({ path, deviceId: DeviceId.BLOCK });
  const { memory } = transport;
  const { recorder, ...seen } = record('direct', DeviceId.BLOCK, memory);
  const recorded = recordedInterrupts(recorder, recordedTransport(recorder, transport));
  const allocator = allocatorIn(memory);
  return { transport: recorded, memory, allocator, ...seen, close: () => transport.close() };
}

export async function reachVfioUser(path: string): Promise<Reached> {
  const client = await VfioUserClient.connect(path);
  try {
    const allocator = allocatorIn(client.memory);
    return { ...(await reachFunction(client, client.memory)), allocator, close: () => client.close() };
  } catch (error) {
    client.close();
    throw error;
  }
}

/** What there is of a device as soon as its registers can be reached. */
export type ReachedRegisters = Omit<Reached, 'allocator' | 'close'>;

/** A PCI function whose device has access to `memory`. More is read of it than drivers need: what the rules are about. */
export async function reachFunction(access: PciAccess, memory: GuestMemory): Promise<ReachedRegisters> {
  const device = await access.readConfig(PciHeader.DEVICE, 2);
  const { recorder, ...seen } = record('pci', device - PCI_DEVICE_BASE, memory);
  const { structures } = await findCapabilities(access);
  const bus = recordedPci(recorder, access, placesOf(structures));
  await bus.readConfig(PciHeader.REVISION, 1);
  await bus.readConfig(PciHeader.SUBSYSTEM, 2);
  for (let at = await access.readConfig(PciHeader.CAPABILITIES, 1); at !== 0; ) {
    await bus.readConfig(at + VirtioPciCap.LENGTH, 1);
    at = await access.readConfig(at + VirtioPciCap.NEXT, 1);
  }
  const transport = await PciDriverTransport.open(bus);
  // The cause of INTx is read from a register, later than it was raised.
  const told = transport.interrupts === 'MSI-X' ? recordedInterrupts(recorder, transport) : transport;
  return { transport: told, memory, registers: pciRegisters(bus, structures), ...seen };
}

/** The registers of an MMIO device that has access to `memory`; undefined for those of none. */
export async function reachSlot(access: MmioAccess, memory: GuestMemory): Promise<ReachedRegisters | undefined> {
  const { recorder, ...seen } = record('mmio', await access.read(Mmio.DEVICE_ID, 4), memory);
  const bus = recordedMmio(recorder, access);
  const transport = await MmioDriverTransport.open(bus);
  return transport && { transport, memory, registers: mmioRegisters(bus), ...seen };
}

function allocatorIn(memory: GuestMemory): GuestAllocator {
  return new GuestAllocator(memory, FIRST_FREE, memory.regions[0]!.size - FIRST_FREE);
}

/** Records accesses to registers and, as the memory is both ends', what is in queues and buffers. */
function record(
  transport: TraceTransport,
  device: number,
  memory: GuestMemory,
): { readonly recorder: Recorder } & Pick<Reached, 'trace' | 'look' | 'unseen'> {
  const lines = new TraceLines();
  const seen = new QueuesSeen(lines);
  const recorder = new Recorder({ transport, device }, seen, systemClock);
  seen.record(recorder, memory);
  return { recorder, trace: lines.lines, look: () => recorder.look?.(), unseen: (action) => unseen(recorder, action) };
}
