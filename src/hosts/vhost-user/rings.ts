import type { Device } from '../../device/device.ts';
import type { QueueLayout } from '../../queue/device-queue.ts';
import { ProtocolError } from '../../spec/fault.ts';
import { EventFd } from '../../unix/event-fd.ts';
import type { FrontEndMemory } from './front-end-memory.ts';
import { Inflight, type InflightShape } from './inflight.ts';
import type { Message } from './message-reader.ts';
import { VringAddress, VringFd, VringState } from './messages.ts';
import { readU64, requireFds } from './payloads.ts';
import { baseOf, positionsOf, Ring, type RingEvent } from './ring.ts';
import { ringInMemory } from './ring-in-memory.ts';

/** What a front-end's rings need of their server. */
export interface RingHooks {
  /** From now on kicks come from this descriptor. */
  watch(fd: number, ring: number): void;
  /** Before the descriptor is closed. */
  unwatch(fd: number): void;
  /** A back-end before this one has left so many requests in the middle. */
  resumed(ring: number, requests: number): void;
}

/** How long stopping one ring may take, when what is in processing does not end. */
const STOP_LIMIT_MS = 5000;

/**
 * The rings of a front-end. One is the device's from the moment on when all of it is there (size, addresses, a kick, enabled),
 * without waiting for a first kick: after a reconnection there may be requests in it that nobody kicks for.
 */
export class Rings {
  readonly #device: Device;
  readonly #memory: FrontEndMemory;
  readonly #hooks: RingHooks;
  readonly #rings: readonly Ring[];
  /** Where what is in flight is written, for the next back-end. */
  #inflight: Inflight | undefined;

  constructor(device: Device, memory: FrontEndMemory, hooks: RingHooks) {
    this.#device = device;
    this.#memory = memory;
    this.#hooks = hooks;
    this.#rings = device.queues.map(({ index }) => new Ring(index));
  }

  get count(): number {
    return this.#rings.length;
  }

  /** Some ring is the device's. */
  get inUse(): boolean {
    return this.#rings.some((ring) => ring.active);
  }

  signal(index: number, event: 'call' | 'err'): void {
    this.#rings[index]!.events[event]?.signal();
  }

  /** The descriptor stays the caller's. */
  setInflight(fd: number, shape: InflightShape): void {
    if (this.inUse) {
      throw new ProtocolError(
        'vhost.frontend.vring.active',
        'what is in flight gets another place while a ring is in use',
      );
    }
    const next = new Inflight(fd, shape);
    this.#inflight?.close();
    this.#inflight = next;
  }

  setSize(payload: DataView): void {
    const ring = this.#idle(payload);
    const size = payload.getUint32(VringState.NUM, true);
    const { maxSize } = this.#device.queues[ring.index]!.description;
    if (size < 1 || size > maxSize) {
      throw new ProtocolError(
        'vhost.frontend.vring.size',
        `ring ${ring.index} of ${size} entries; at most ${maxSize} can be`,
      );
    }
    ring.size = size;
  }

  /** The same addresses again are no change. */
  setAddresses(payload: DataView): void {
    const ring = this.#ring(payload.getUint32(VringAddress.INDEX, true));
    const descriptor = readU64(payload, VringAddress.DESCRIPTOR);
    const driver = readU64(payload, VringAddress.AVAILABLE);
    const device = readU64(payload, VringAddress.USED);
    if (ring.descriptor !== descriptor || ring.driver !== driver || ring.device !== device) {
      Object.assign(this.#idle(payload), { descriptor, driver, device });
    }
    ring.hasAddresses = true;
  }

  setBase(payload: DataView): void {
    this.#idle(payload).base = payload.getUint32(VringState.NUM, true);
  }

  /** A kick enables the ring where `enabling` says that there is no message for it. */
  takeEvent(message: Message, event: RingEvent, enabling: 'kick' | 'message'): void {
    const word = message.payload.getUint32(0, true);
    const ring = this.#ring(word & VringFd.INDEX_MASK);
    const none = (word & VringFd.NONE) !== 0;
    requireFds(message, none ? 0 : 1);
    if (none && event === 'kick') {
      throw new ProtocolError(
        'vhost.frontend.vring.kick',
        `ring ${ring.index} is to be polled without kicks, which is not done here`,
      );
    }
    const [fd] = message.fds;
    const next = fd === undefined ? undefined : EventFd.from(fd);
    message.fds.length = 0;
    this.#setEvent(ring, event, next);
    // The one that the guest listens to may come after the ring was started.
    if (event === 'call' && ring.isInherited) next?.signal();
    if (event === 'kick' && enabling === 'kick') ring.enabled = true;
  }

  /** Calls `done` at once, or when a ring that is disabled has come to rest. */
  enable(payload: DataView, done: () => void): void {
    const ring = this.#ring(payload.getUint32(VringState.INDEX, true));
    ring.enabled = payload.getUint32(VringState.NUM, true) !== 0;
    if (ring.enabled) done();
    else this.#halt(ring, done);
  }

  /** Stops a ring until it gets another kick; `done` gets where it goes on. */
  stop(payload: DataView, done: (index: number, base: number) => void): void {
    const ring = this.#ring(payload.getUint32(VringState.INDEX, true));
    // At once: complete, it would be started again while what is in processing ends.
    this.#setEvent(ring, 'kick', undefined);
    this.#halt(ring, () => done(ring.index, ring.base));
  }

  /** Stops all rings, which keep where they go on. */
  stopAll(done: () => void): void {
    let left = this.#rings.length;
    for (const ring of this.#rings) {
      this.#halt(ring, () => {
        if (--left === 0) done();
      });
    }
  }

  /** The device was reset: rings are disabled, and none is its any more. */
  deviceReset(): void {
    for (const ring of this.#rings) {
      this.#setEvent(ring, 'kick', undefined);
      ring.active = ring.enabled = false;
    }
  }

  close(): void {
    this.#inflight?.close();
    for (const ring of this.#rings)
      for (const event of ['kick', 'call', 'err'] as const) this.#setEvent(ring, event, undefined);
  }

  /** Gives to the device what has become complete; `started` is called before, and makes it run. */
  activate(format: 'split' | 'packed', started: () => void): void {
    for (const ring of this.#rings) {
      if (ring.active || !ring.complete) continue;
      // It came with the state of a device that was suspended.
      if (this.#device.queues[ring.index]!.queue !== undefined) ring.active = true;
      if (ring.active || this.#device.frozen) continue;
      started();
      const layout = this.#layout(ring);
      const record = this.#inflight?.queue(ring.index, ring.size, format);
      const base = positionsOf(ring.base, format);
      const positions = record?.resume(base, ringInMemory(this.#memory.memory, layout)) ?? base;
      ring.active = true;
      ring.isInherited = positions !== base;
      if (positions.taken !== undefined && positions.taken.length > 0) {
        this.#hooks.resumed(ring.index, positions.taken.length);
      }
      this.#device.configureQueue(ring.index, (slot) => Object.assign(slot, layout, { record }));
      this.#device.enableQueue(ring.index, positions);
      // The guest may wait for what it was not told of, and give nothing to do that it would be told of.
      if (ring.isInherited) ring.events.call?.signal();
    }
  }

  #layout({ index, size, descriptor, driver, device }: Ring): QueueLayout {
    return {
      size,
      descriptorArea: this.#memory.toGuest(descriptor, `the descriptors of ring ${index}`),
      driverArea: this.#memory.toGuest(driver, `the driver area of ring ${index}`),
      deviceArea: this.#memory.toGuest(device, `the device area of ring ${index}`),
    };
  }

  #ring(index: number): Ring {
    const ring = this.#rings[index];
    if (ring !== undefined) return ring;
    throw new ProtocolError('vhost.frontend.vring.index', `ring ${index} of ${this.#rings.length}`);
  }

  #idle(payload: DataView): Ring {
    const ring = this.#ring(payload.getUint32(VringState.INDEX, true));
    if (!ring.active) return ring;
    throw new ProtocolError('vhost.frontend.vring.active', `ring ${ring.index} is changed while it is in use`);
  }

  #setEvent(ring: Ring, event: RingEvent, next: EventFd | undefined): void {
    const before = ring.events[event];
    if (event === 'kick' && before !== undefined) this.#hooks.unwatch(before.fd);
    before?.close();
    ring.events[event] = next;
    if (event === 'kick' && next !== undefined) this.#hooks.watch(next.fd, ring.index);
  }

  /** Takes a ring from the device once nothing of it is in processing; then its base is where it was. */
  #halt(ring: Ring, done: () => void): void {
    const slot = this.#device.queues[ring.index]!;
    const wasActive = ring.active;
    ring.active = false;
    if (!wasActive || slot.queue === undefined) {
      done();
      return;
    }
    this.#device.service.stop(slot, {
      limitMs: STOP_LIMIT_MS,
      stopped: (positions) => {
        ring.base = baseOf(positions);
        done();
      },
      failed: (error) => {
        if (slot.queue !== undefined)
          this.#device.fail(new Error(`ring ${ring.index} could not be stopped: ${error.message}`));
        done();
      },
    });
  }
}
