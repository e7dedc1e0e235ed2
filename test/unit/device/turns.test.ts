import { expect, it } from 'vitest';
import { Device } from '../../../src/device/device.ts';
import type { DevicePort, DeviceType } from '../../../src/device/device-type.ts';
import { DirectTransport } from '../../../src/hosts/loopback/direct.ts';
import { GuestAllocator } from '../../../src/memory/allocator.ts';
import { GuestMemory } from '../../../src/memory/guest-memory.ts';
import { BufferList } from '../../../src/queue/buffer-list.ts';
import type { Chain } from '../../../src/queue/chain.ts';
import { SplitDriverQueue } from '../../../src/queue/split-driver-queue.ts';
import { Feature, featureSet } from '../../../src/spec/features.ts';

/** A device with one queue, and a driver that has as many buffers for it as it can use. */
function busy(taking: 'eager' | 'onDemand'): {
  transport: DirectTransport;
  later: (() => void)[];
  processed: () => number;
} {
  const memory = GuestMemory.over(new Uint8Array(1 << 16));
  const allocator = new GuestAllocator(memory, 0, 1 << 16);
  const queue = new SplitDriverQueue(allocator, 4, { indirect: false, eventIdx: false });
  const list = new BufferList().addReadable(allocator.allocate(16).address, 16);
  let port: DevicePort;
  let processed = 0;
  const use = (chain: Chain): void => {
    processed++;
    port.complete(0, chain, 0);
  };
  const type: DeviceType = {
    deviceId: 99,
    features: 0n,
    queues: [{ maxSize: 4, taking }],
    attach: (given) => {
      port = given;
    },
    config: () => new Uint8Array(0),
    process: (_, chain) => use(chain),
    available: () => {
      for (let chain = port.take(0); chain !== undefined; chain = port.take(0)) use(chain);
    },
  };
  const later: (() => void)[] = [];
  const clock = {
    now: () => 0,
    after: (_: number, callback: () => void) => {
      later.push(callback);
      return () => {};
    },
  };
  const transport = new DirectTransport(new Device(type, memory, { clock }));
  const offer = (): void => {
    while (queue.collect() !== undefined);
    queue.offer(list);
    queue.expose();
  };
  transport.onUsedBuffer = offer;
  transport.writeFeatures(featureSet(Feature.VERSION_1));
  transport.writeStatus(0x0b);
  transport.enableQueue(0, queue.layout);
  transport.writeStatus(0x0f);
  offer();
  return { transport, later, processed: () => processed };
}

it.each(['eager', 'onDemand'] as const)(
  'a driver that adds buffers as fast as they are used does not keep the device from its other work: %s',
  (taking) => {
    const { transport, later, processed } = busy(taking);
    transport.kick(0);
    const first = processed();
    expect(first).toBeGreaterThan(1);
    expect(later).toHaveLength(1);

    later.shift()!();
    expect(processed()).toBe(2 * first);
    expect(later).toHaveLength(1);
  },
);
