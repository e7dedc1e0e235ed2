import type { DriverTransport, Later } from '../driver/transport.ts';
import type { TraceEvent } from '../monitor/trace.ts';
import type { FeatureSet } from '../spec/features.ts';
import type { MmioAccess } from '../transports/mmio/driver.ts';
import type { PciStructures } from '../transports/pci/capabilities.ts';
import type { PciAccess } from '../transports/pci/driver.ts';
import type { PciFunction } from '../transports/pci/function.ts';
import type { Recorder } from './recorder.ts';

/** A read is recorded when it is answered, with the answer. */
function answered<T>(answer: Later<T>, record: (value: T) => void): Later<T> {
  if (!(answer instanceof Promise)) {
    record(answer);
    return answer;
  }
  return answer.then((value) => {
    record(value);
    return value;
  });
}

/** What the device does within an access is found at its end, before the driver goes on. */
function done<T>(recorder: Recorder, result: T): T {
  recorder.look?.();
  return result;
}

type Listener = (...told: unknown[]) => unknown;

/** What the device has done when it tells of something is found before the driver hears of that. */
function heard(recorder: Recorder, listener: Listener, event?: TraceEvent): Listener {
  return (...told) => {
    if (event === undefined) recorder.look?.();
    else recorder.event(event);
    return listener(...told);
  };
}

function words(kind: 'features.device' | 'features.driver', set: FeatureSet): TraceEvent[] {
  return [0, 1, 2, 3].map((word) => ({ kind, word, bits: Number((set >> BigInt(32 * word)) & 0xffff_ffffn) }));
}

/** Records what a driver does through a transport that has no registers to look at. */
export function recordedTransport(recorder: Recorder, transport: DriverTransport): DriverTransport {
  const tell = (event: TraceEvent): void => recorder.event(event);
  const recorded: Partial<DriverTransport> = {
    readStatus: () => answered(transport.readStatus(), (value) => tell({ kind: 'status.read', value })),
    writeStatus: (value) => {
      tell({ kind: 'status.write', value });
      return done(recorder, transport.writeStatus(value));
    },
    readFeatures: () => answered(transport.readFeatures(), (set) => words('features.device', set).forEach(tell)),
    writeFeatures: (set) => {
      words('features.driver', set).forEach(tell);
      return transport.writeFeatures(set);
    },
    enableQueue: (queue, layout) => {
      const { size, descriptorArea: descriptor, driverArea: driver, deviceArea: device } = layout;
      tell({ kind: 'queue.enable', queue, size, descriptor, driver, device });
      return done(recorder, transport.enableQueue(queue, layout));
    },
    readConfigGeneration: () =>
      answered(transport.readConfigGeneration(), (value) => tell({ kind: 'config.generation', value })),
    readConfig: (offset, width) =>
      answered(transport.readConfig(offset, width), (value) => tell({ kind: 'config.read', offset, width, value })),
    writeConfig: (offset, width, value) => {
      tell({ kind: 'config.write', offset, width, value });
      return transport.writeConfig(offset, width, value);
    },
    resetQueue: (queue) => {
      tell({ kind: 'queue.reset', queue });
      return done(recorder, transport.resetQueue(queue));
    },
    queueIsReset: (queue) =>
      answered(transport.queueIsReset(queue), (done) => tell({ kind: 'queue.reset.read', queue, value: done ? 0 : 1 })),
    kick: (queue, next) => {
      tell({ kind: 'kick', queue });
      done(recorder, transport.kick(queue, next));
    },
  };
  return overlay(transport, recorder, recorded);
}

/**
 * Records what a driver is told by a device that is elsewhere; of one that is here `recordDevice` knows more. For transports that
 * say the cause when it comes, and let no answer overtake it.
 */
export function recordedInterrupts(recorder: Recorder, transport: DriverTransport): DriverTransport {
  const events: Partial<Record<PropertyKey, TraceEvent>> = {
    onUsedBuffer: { kind: 'interrupt', cause: 'used' },
    onConfigChange: { kind: 'interrupt', cause: 'config' },
  };
  return overlay(transport, recorder, {}, events);
}

/** Records each access to the registers of an MMIO device. */
export function recordedMmio(recorder: Recorder, bus: MmioAccess): MmioAccess {
  return overlay(bus, recorder, {
    read: (offset, width) =>
      answered(bus.read(offset, width), (value) =>
        recorder.event({ kind: 'mmio', access: 'read', offset, width, value: value >>> 0 }),
      ),
    write: (offset, width, value) => {
      recorder.event({ kind: 'mmio', access: 'write', offset, width, value: value >>> 0 });
      return done(recorder, bus.write(offset, width, value));
    },
  });
}

/** Where a structure of a PCI function lies, as its capabilities say. */
export interface PciPlace {
  readonly structure: 'common' | 'notify' | 'isr' | 'device';
  readonly bar: number;
  readonly offset: number;
  readonly length: number;
}

export function placesOf(structures: PciStructures): readonly PciPlace[] {
  return (['common', 'notify', 'isr', 'device'] as const).map((structure) => ({ structure, ...structures[structure] }));
}

/** Records each access to the structures of a PCI function, and to its configuration space. */
export function recordedPci(recorder: Recorder, bus: PciAccess, places: readonly PciPlace[]): PciAccess {
  const { messages } = bus;
  const record = accessTo(recorder, places);
  return overlay(bus, recorder, {
    ...(messages === undefined
      ? {}
      : {
          messages: {
            messageFor: (vector, handler) =>
              messages.messageFor(vector, heard(recorder, handler, { kind: 'message', vector })),
          },
        }),
    readConfig: (offset, width) =>
      answered(bus.readConfig(offset, width), (value) =>
        recorder.event({ kind: 'pci', access: 'read', structure: 'space', offset, width, value: value >>> 0 }),
      ),
    writeConfig: (offset, width, value) => {
      recorder.event({ kind: 'pci', access: 'write', structure: 'space', offset, width, value: value >>> 0 });
      return bus.writeConfig(offset, width, value);
    },
    readBar: (bar, offset, width) =>
      answered(bus.readBar(bar, offset, width), (value) => record(bar, offset, { access: 'read', width, value })),
    writeBar: (bar, offset, width, value) => {
      record(bar, offset, { access: 'write', width, value });
      return done(recorder, bus.writeBar(bar, offset, width, value));
    },
  });
}

/**
 * Records each access of a guest to a PCI function, as it comes from the host that has plugged the function in. A host that keeps
 * a copy of the configuration space reads what was written to it: those reads are in the trace, too.
 */
export function recordedFunction<T extends PciFunction>(recorder: Recorder, pci: T, places: readonly PciPlace[]): T {
  const record = accessTo(recorder, places);
  const space = (access: 'read' | 'write', offset: number, width: number, value: number): void =>
    recorder.event({ kind: 'pci', access, structure: 'space', offset, width, value: value >>> 0 });
  return overlay(pci, recorder, {
    readConfig: (offset, width) => {
      const value = pci.readConfig(offset, width);
      space('read', offset, width, value);
      return value;
    },
    writeConfig: (offset, width, value) => {
      space('write', offset, width, value);
      done(recorder, pci.writeConfig(offset, width, value));
    },
    readBar: (bar, offset, width) => {
      const value = pci.readBar(bar, offset, width);
      record(bar, offset, { access: 'read', width, value });
      return value;
    },
    writeBar: (bar, offset, width, value) => {
      record(bar, offset, { access: 'write', width, value });
      done(recorder, pci.writeBar(bar, offset, width, value));
    },
  } satisfies Partial<PciFunction> as Partial<T>);
}

type BarAccess = (bar: number, at: number, rest: { access: 'read' | 'write'; width: number; value: number }) => void;

/** Records accesses to BARs by the structures that they are to; others are nobody's. */
function accessTo(recorder: Recorder, places: readonly PciPlace[]): BarAccess {
  return (bar, at, rest) => {
    const place = places.find(({ bar: b, offset, length }) => b === bar && at >= offset && at < offset + length);
    if (place === undefined) return;
    const { structure, offset } = place;
    recorder.event({ kind: 'pci', structure, offset: at - offset, ...rest, value: rest.value >>> 0 });
  };
}

/** `object` with some of its methods replaced; everything else, as what is set on it, is its own. Calls of listeners are `events`. */
function overlay<T extends object>(
  object: T,
  recorder: Recorder,
  replaced: Partial<T>,
  events: Partial<Record<PropertyKey, TraceEvent>> = {},
): T {
  return new Proxy(object, {
    get: (target, name) => {
      const own = (replaced as Record<PropertyKey, unknown>)[name];
      if (own !== undefined) return own;
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
    set: (target, name, value) =>
      Reflect.set(
        target,
        name,
        typeof value === 'function' ? heard(recorder, value as Listener, events[name]) : value,
        target,
      ),
  });
}
