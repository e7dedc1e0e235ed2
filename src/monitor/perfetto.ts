import { describeStatus } from '../spec/status.ts';
import { Session } from './session.ts';
import type { Located, Role, TraceEvent, TraceHeader } from './trace.ts';

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
  'buffer.taken',
  'buffer.used',
  'saved',
  'restored',
] as const);

/**
 * A trace as a picture: the phases of both ends as slices, everything that happens as moments. An event without a time comes
 * a microsecond after the one before.
 */
export class PerfettoExport {
  readonly events: PerfettoEvent[] = Object.entries(ROWS).map(([name, tid]) => {
    return { name: 'thread_name', ph: 'M', ts: 0, pid: 1, tid, args: { name } };
  });
  readonly #session: Session;
  readonly #since: Record<Role, number> = { device: 0, driver: 0 };
  #now = 0;

  constructor(header: TraceHeader) {
    this.#session = new Session(header);
  }

  follow(event: TraceEvent, line: number): void {
    const located: Located = { ...event, line };
    this.#now = event.time ?? this.#now + 1;
    const { device, driver } = this.#session;
    this.#session.follow(located);
    this.#phase('device', device);
    this.#phase('driver', driver);
    const { kind, time: _, ...args } = located;
    const tid = ROWS[doneBy(event)];
    this.events.push({ name: nameOf(event), ph: 'i', s: 't', ts: this.#now, pid: 1, tid, args: { kind, ...args } });
  }

  /** The trace is over: the document. */
  end(): { readonly traceEvents: readonly PerfettoEvent[]; readonly displayTimeUnit: 'ms' } {
    this.#slice('device', this.#session.device);
    this.#slice('driver', this.#session.driver);
    return { traceEvents: this.events, displayTimeUnit: 'ms' };
  }

  #phase(of: Role, before: string): void {
    if (this.#session[of] === before) return;
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

function nameOf(event: TraceEvent): string {
  switch (event.kind) {
    case 'status.write':
    case 'status.read':
    case 'status.shown':
      return `${event.kind} ${describeStatus(event.value)}`;
    case 'saved':
    case 'restored':
      return `${event.kind} ${describeStatus(event.status)}${event.paused === true ? ', paused' : ''}`;
    case 'kick':
    case 'queue.enable':
    case 'queue.reset':
      return `${event.kind} ${event.queue}`;
    case 'interrupt':
      return event.queue === undefined ? event.cause : `${event.cause} ${event.queue}`;
    case 'buffer.available':
    case 'buffer.taken':
    case 'buffer.used':
    case 'buffer.contents':
      return `${event.kind} ${event.queue}:${event.id}`;
    default:
      return event.kind;
  }
}
