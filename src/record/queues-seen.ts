import type { GuestMemory } from '../memory/guest-memory.ts';
import { Judge } from '../monitor/judge.ts';
import type { TraceEvent, TraceHeader } from '../monitor/trace.ts';
import { Feature } from '../spec/features.ts';
import type { Recorder, TraceSink } from './recorder.ts';
import { RingWatch, type WatchedQueue } from './ring-watch.ts';

/**
 * Passes a trace on, and learns from it where queues are: for who records a driver's accesses to a device that is elsewhere, and
 * has the memory of both.
 */
export class QueuesSeen implements TraceSink {
  readonly #next: TraceSink;
  /** Judges nothing: it follows registers. */
  #follower: Judge | undefined;
  #line = 0;

  constructor(next: TraceSink) {
    this.#next = next;
  }

  begin(header: TraceHeader): void {
    this.#follower = new Judge(header, []);
    this.#next.begin(header);
  }

  event(event: TraceEvent): void {
    this.#follower!.follow(event, ++this.#line);
    this.#next.event(event);
  }

  /** Records what either end writes to these queues, and what is in their buffers. */
  record(recorder: Recorder, memory: GuestMemory): void {
    const watch = new RingWatch(recorder, memory, {
      queues: () => this.#queues(),
      isPacked: () => this.#follower!.session.has(Feature.RING_PACKED),
    });
    recorder.look = () => watch.look();
  }

  #queues(): readonly WatchedQueue[] {
    return [...this.#follower!.session.places].map(([index, { size, descriptor, driver, device }]) => ({
      index,
      layout: { size, descriptorArea: descriptor, driverArea: driver, deviceArea: device },
    }));
  }
}
