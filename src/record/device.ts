import type { Device } from '../device/device.ts';
import type { DevicePort, DeviceType } from '../device/device-type.ts';
import type { DeviceObserver } from '../device/transport.ts';
import type { GuestMemory } from '../memory/guest-memory.ts';
import type { QueuePositions, Saved, TraceEvent } from '../monitor/trace.ts';
import type { QueueState } from '../queue/device-queue.ts';
import { Feature, hasFeature } from '../spec/features.ts';
import type { Recorder } from './recorder.ts';
import { type QueueSource, RingWatch } from './ring-watch.ts';
import { SeenMemory } from './seen-memory.ts';

/** Records what is written to the queues of a device of ours, by either end; and what it reads, where its memory is a `SeenMemory`. */
export function recordRings(recorder: Recorder, device: Device, memory: GuestMemory): RingWatch {
  const watch = new RingWatch(recorder, memory, queuesOf(device));
  recorder.look = () => watch.look();
  seeReads(watch, memory);
  return watch;
}

function seeReads(watch: RingWatch, memory: GuestMemory): void {
  if (memory instanceof SeenMemory) memory.onRead = (address, length) => watch.deviceReads(address, length);
}

/** What is recorded of a device. */
export interface DeviceRecording {
  /** The device is about to go on in another one, with its memory or a copy of it: from its restoring on that one is recorded. */
  goOnIn(device: Device, memory: GuestMemory): void;
}

/** Records what a device of ours shows and tells, and its queues. Whoever observed it goes on doing so. */
export function recordDevice(recorder: Recorder, device: Device, memory: GuestMemory): DeviceRecording {
  const watch = recordRings(recorder, device, memory);
  let current = device;
  let currentMemory = memory;
  const isCurrent = (one: Device): boolean => one === current;
  observe(recorder, device, isCurrent);
  return {
    goOnIn: (next, nextMemory) => {
      observe(recorder, next, isCurrent, () => {
        if (next === current) return;
        watch.goOnIn(nextMemory, queuesOf(next));
        if (currentMemory instanceof SeenMemory) currentMemory.onRead = undefined;
        seeReads(watch, nextMemory);
        current = next;
        currentMemory = nextMemory;
      });
    },
  };
}

function queuesOf(device: Device): QueueSource {
  return {
    queues: () => device.queues.filter(({ enabled }) => enabled),
    isPacked: () => hasFeature(device.accepted, Feature.RING_PACKED),
  };
}

function observe(
  recorder: Recorder,
  device: Device,
  isCurrent: (device: Device) => boolean,
  beforeRestored: () => void = () => {},
): void {
  const before: DeviceObserver | undefined = device.observer;
  const tell = (event: TraceEvent): void => {
    if (isCurrent(device)) recorder.event(event);
  };
  device.observer = {
    ...before,
    statusShown: (value) => {
      tell({ kind: 'status.shown', value });
      before?.statusShown?.(value);
    },
    usedNotified: (queue) => {
      tell({ kind: 'interrupt', cause: 'used', queue });
      before?.usedNotified?.(queue);
    },
    configNotified: () => {
      tell({ kind: 'interrupt', cause: 'config' });
      before?.configNotified?.();
    },
    saved: () => {
      tell({ kind: 'saved', ...stateOf(device) });
      before?.saved?.();
    },
    restored: () => {
      beforeRestored();
      tell({ kind: 'restored', ...stateOf(device) });
      before?.restored?.();
    },
  };
}

/** What is saved of a device at rest, as far as a trace has it. */
function stateOf(device: Device): Omit<Saved, 'kind'> {
  const queues = device.queues.flatMap(({ index, queue }) => {
    const state = queue?.save();
    return state === undefined ? [] : [{ queue: index, ...positionsOf(state) }];
  });
  const { status, paused } = device;
  return { status, features: device.accepted.toString(16), paused, queues };
}

function positionsOf(state: QueueState): Omit<QueuePositions, 'queue'> {
  const { availableNext: available, usedNext: used } = state;
  if (state.format === 'split') return { available, used };
  return { available: available + state.availableWrap * 0x8000, used: used + state.usedWrap * 0x8000 };
}

/** A device type that says which buffers it begins to process, and that its configuration has changed. */
export function recordedType(recorder: Recorder, type: DeviceType): DeviceType {
  const taken = (queue: number, id: number): void => recorder.event({ kind: 'buffer.taken', queue, id });
  const portOf = (port: DevicePort): DevicePort => ({
    ...port,
    take: (queue) => {
      const chain = port.take(queue);
      if (chain !== undefined) taken(queue, chain.id);
      return chain;
    },
    configChanged: () => {
      recorder.event({ kind: 'config.changed' });
      port.configChanged();
    },
  });
  return new Proxy(type, {
    get: (target, name) => {
      if (name === 'attach') return (port: DevicePort) => target.attach(portOf(port));
      if (name === 'process' && target.process !== undefined) {
        return (...[queue, chain]: Parameters<NonNullable<DeviceType['process']>>) => {
          taken(queue, chain.id);
          target.process!(queue, chain);
        };
      }
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}
