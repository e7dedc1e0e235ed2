import type { Device } from '../../device/device.ts';
import type { DriverTransport } from '../../driver/transport.ts';
import { DirectTransport } from '../../hosts/loopback/direct.ts';
import { MmioLoopback } from '../../hosts/loopback/mmio.ts';
import { PciLoopback } from '../../hosts/loopback/pci.ts';
import type { TraceTransport } from '../../monitor/trace.ts';
import type { Recorder } from '../../record/recorder.ts';
import { placesOf, recordedMmio, recordedPci, recordedTransport } from '../../record/transports.ts';
import { MmioDevice } from '../../transports/mmio/device.ts';
import { MmioDriverTransport } from '../../transports/mmio/driver.ts';
import { memoryLayout, PciDevice } from '../../transports/pci/device.ts';
import { PciDriverTransport } from '../../transports/pci/driver.ts';
import { mmioRegisters, pciRegisters, type ShownRegisters } from './shown-registers.ts';

/** How a driver reaches a device of ours, with a recorder between the two. */
export interface Way {
  readonly transport: DriverTransport;
  readonly registers?: ShownRegisters;
  /** Saves the device, and puts `next` with its state in its place. The text of the state is all that the two have in common. */
  move(next: Device): void;
}

export function connect(recorder: Recorder, device: Device, way: TraceTransport, vectors: number): Promise<Way> {
  switch (way) {
    case 'direct':
      return Promise.resolve(connectDirect(recorder, device));
    case 'mmio':
      return connectMmio(recorder, device);
    case 'pci':
      return connectPci(recorder, device, vectors);
  }
}

function connectDirect(recorder: Recorder, first: Device): Way {
  const direct = new DirectTransport(first);
  let device = first;
  return {
    transport: recordedTransport(recorder, direct),
    move: (next) => {
      next.restore(asText(device.save()));
      direct.connect(next);
      device = next;
    },
  };
}

async function connectMmio(recorder: Recorder, device: Device): Promise<Way> {
  let mmio = new MmioDevice(device);
  const loopback = new MmioLoopback(mmio);
  const bus = recordedMmio(recorder, loopback);
  return {
    transport: (await MmioDriverTransport.open(bus))!,
    registers: mmioRegisters(bus),
    move: (next) => {
      const saved = asText(mmio.save());
      mmio = new MmioDevice(next);
      mmio.restore(saved);
      loopback.connect(mmio);
    },
  };
}

async function connectPci(recorder: Recorder, device: Device, vectors: number): Promise<Way> {
  let pci = new PciDevice(device, { vectors });
  const loopback = new PciLoopback(pci);
  const bus = recordedPci(recorder, loopback, placesOf(memoryLayout.structures));
  return {
    transport: await PciDriverTransport.open(bus),
    registers: pciRegisters(bus, memoryLayout.structures),
    move: (next) => {
      const saved = asText(pci.save());
      pci = new PciDevice(next, { vectors });
      pci.restore(saved);
      loopback.connect(pci);
    },
  };
}

function asText(saved: unknown): unknown {
  return JSON.parse(JSON.stringify(saved));
}
