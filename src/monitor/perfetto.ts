import { Decoder } from './decoder.ts';
import { nameOf } from './event-names.ts';
import type { Role, TraceEvent, TraceHeader } from './trace.ts';

/** One entry of the Trace Event format, as ui.perfetto.dev and chrome://tracing read it. */
export interface PerfettoEvent {
  readonly name: string;
  /** `X`: a slice with a duration; `i`: a moment; `M`: the name of a row. */
  readonly ph: 'X' | 'i' | 'M';
  /** Microseconds. */
  readonly ts: number;
  readonly dur?: number;
  readonly pid: number;
  readonly tid: number;
  readonly s?: 't';
  readonly args: Readonly<Record<string, unknown>>;
}

/** Rows: the phases of each end, and below them what each end does. */
const ROWS = { 'driver phase': 1, driver: 2, 'device phase': 3, device: 4 } as const;

/** What the device does; all else is the driver's doing. */
const BY_DEVICE: ReadonlySet<TraceEvent['kind']> = new Set([
  'status.shown',
  'config.changed',
  'interrupt',
  'message',
  'buffer.taken',
  'buffer.used',
  'saved',
  'restored',
] as const);

/**
 * A trace as a picture: the phases of both ends as slices, everything that happens as moments. An access to a register is shown
 * as what it means, if it means anything by itself. An event without a time comes a microsecond after the one before.
 */
export class PerfettoExport {
  readonly events: PerfettoEvent[] = Object.entries(ROWS).map(([name, tid]) => {
    return { name: 'thread_name', ph: 'M', ts: 0, pid: 1, tid, args: { name } };
  });
  readonly #decoder: Decoder;
  readonly #since: Record<Role, number> = { device: 0, driver: 0 };
  #now = 0;

  constructor(header: TraceHeader) {
    this.#decoder = new Decoder(header);
  }

  follow(event: TraceEvent, line: number): void {
    this.#now = event.time ?? this.#now + 1;
    const { session } = this.#decoder;
    const { device, driver } = session;
    this.#decoder.take({ ...event, line });
    const meant = this.#decoder.derive(event);
    for (const derived of meant) this.#decoder.take({ ...derived, line });
    this.#phase('device', device);
    this.#phase('driver', driver);
    const isRegister = event.kind === 'mmio' || event.kind === 'pci';
    if (!isRegister || meant.length === 0) this.#moment(event, { line });
    for (const derived of meant) this.#moment(derived, isRegister ? { line, register: event } : { line });
  }

  /** The trace is over: the document. */
  end(): { readonly traceEvents: readonly PerfettoEvent[]; readonly displayTimeUnit: 'ms' } {
    this.#slice('device', this.#decoder.session.device);
    this.#slice('driver', this.#decoder.session.driver);
    return { traceEvents: this.events, displayTimeUnit: 'ms' };
  }

  #moment(event: TraceEvent, more: Readonly<Record<string, unknown>>): void {
    const { time: _, ...args } = event;
    const tid = ROWS[doneBy(event)];
    this.events.push({ name: nameOf(event), ph: 'i', s: 't', ts: this.#now, pid: 1, tid, args: { ...args, ...more } });
  }

  #phase(of: Role, before: string): void {
    if (this.#decoder.session[of] === before) return;
    this.#slice(of, before);
    this.#since[of] = this.#now;
  }

  #slice(of: Role, name: string): void {
    const ts = this.#since[of];
    if (this.#now === ts || name === 'unknown') return;
    this.events.push({ name, ph: 'X', ts, dur: this.#now - ts, pid: 1, tid: ROWS[`${of} phase`], args: {} });
  }
}

function doneBy(event: TraceEvent): Role {
  if (event.kind === 'memory' || event.kind === 'buffer.contents') return event.by;
  return BY_DEVICE.has(event.kind) ? 'device' : 'driver';
}
