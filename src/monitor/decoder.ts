import { RegisterDecoder } from './registers.ts';
import { RingDecoder } from './rings.ts';
import { Session } from './session.ts';
import type { Located, TraceEvent, TraceHeader } from './trace.ts';

/** Follows a trace: what is known of the connection, and what accesses to registers and to the memory of queues mean. */
export class Decoder {
  readonly session: Session;
  readonly #registers: RegisterDecoder;
  readonly #rings: RingDecoder;

  constructor(header: TraceHeader) {
    this.session = new Session(header);
    this.#registers = new RegisterDecoder(this.session);
    this.#rings = new RingDecoder(this.session);
  }

  /** Takes an event in, be it of the trace or derived from one of it. */
  take(event: Located): void {
    this.session.follow(event);
    if (event.kind === 'queue.enable') this.#rings.enable(event);
    else if (event.kind === 'queue.reset') this.#rings.reset(event.queue);
    else if (event.kind === 'status.write' && event.value === 0) this.#rings.resetAll();
  }

  /** What an event of the trace means that was taken in last, where it is an access to something: to be taken in after it. */
  derive(event: TraceEvent): readonly TraceEvent[] {
    if (event.kind === 'memory') return this.#rings.decode(event);
    if (event.kind !== 'mmio' && event.kind !== 'pci') return [];
    const meaning = this.#registers.decode(event);
    return meaning === undefined ? [] : [meaning];
  }
}
