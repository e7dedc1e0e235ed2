import type { PackedQueueState, QueueState, SplitQueueState } from '../../queue/device-queue.ts';
import type { EventFd } from '../../unix/event-fd.ts';

/** Which of a ring's three eventfds: the guest's kicks, interrupts to it, errors to the front-end. */
export type RingEvent = 'kick' | 'call' | 'err';

/** One virtqueue as the front-end has described it so far. */
export class Ring {
  readonly index: number;
  size = 0;
  /** Addresses of the front-end's own. */
  descriptor = 0;
  driver = 0;
  device = 0;
  hasAddresses = false;
  /** Where it goes on, as the front-end writes it. */
  base = 0;
  enabled = false;
  /** The device has it now. */
  active = false;
  /** Another back-end has served it, which may have ended between using buffers and saying so. */
  isInherited = false;
  readonly events: { [Event in RingEvent]: EventFd | undefined } = { kick: undefined, call: undefined, err: undefined };

  constructor(index: number) {
    this.index = index;
  }

  /** Everything that it takes is there. */
  get complete(): boolean {
    return this.size > 0 && this.hasAddresses && this.enabled && this.events.kick !== undefined;
  }
}

/** A base of 32 bits as positions: of a packed ring both positions with their wrap counters in bits 15 and 31. */
export function positionsOf(base: number, format: 'split' | 'packed'): QueueState {
  if (format === 'split') {
    const next = base & 0xffff;
    return { format, availableNext: next, usedNext: next } satisfies SplitQueueState;
  }
  // All that was taken is used when a ring is stopped: the two positions are one.
  const next = base & 0x7fff;
  const wrap = (base >>> 15) & 1;
  return {
    format,
    availableNext: next,
    availableWrap: wrap,
    usedNext: next,
    usedWrap: wrap,
  } satisfies PackedQueueState;
}

/** The opposite of `positionsOf`. */
export function baseOf(state: QueueState): number {
  if (state.format === 'split') return state.availableNext;
  const available = state.availableNext | (state.availableWrap << 15);
  const used = state.usedNext | (state.usedWrap << 15);
  return ((used << 16) | available) >>> 0;
}
