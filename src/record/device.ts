import type { Device } from '../device/device.ts';
import type { DevicePort, DeviceType } from '../device/device-type.ts';
import type { DeviceObserver } from '../device/transport.ts';
import type { GuestMemory } from '../memory/guest-memory.ts';
import { Feature, hasFeature } from '../spec/features.ts';
import type { Recorder } from './recorder.ts';
import { RingWatch } from './ring-watch.ts';

/** Records what is written to the queues of a device of ours, by either end. */
export function recordRings(recorder: Recorder, device: Device, memory: GuestMemory): void {
  const watch = new RingWatch(recorder, memory, {
    queues: () => device.queues.filter(({ enabled }) => enabled),
    isPacked: () => hasFeature(device.accepted, Feature.RING_PACKED),
  });
  recorder.look = () => watch.look();
}

/** Records what a device of ours shows and tells, and its queues. Whoever observed it goes on doing so. */
export function recordDevice(recorder: Recorder, device: Device, memory: GuestMemory): void {
  recordRings(recorder, device, memory);
  const before: DeviceObserver | undefined = device.observer;
  device.observer = {
    ...before,
    statusShown: (value) => {
      recorder.event({ kind: 'status.shown', value });
      before?.statusShown?.(value);
    },
    usedNotified: (queue) => {
      recorder.event({ kind: 'interrupt', cause: 'used', queue });
      before?.usedNotified?.(queue);
    },
    configNotified: () => {
      recorder.event({ kind: 'interrupt', cause: 'config' });
      before?.configNotified?.();
    },
  };
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
