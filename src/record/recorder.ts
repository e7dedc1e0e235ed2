import type { Clock } from '../device/clock.ts';
import type { TraceEvent, TraceHeader } from '../monitor/trace.ts';
import { formatLine, TRACE_VERSION } from '../monitor/trace-format.ts';

/** Where a trace goes: the header first, then each event as it happens. */
export interface TraceSink {
  begin(header: TraceHeader): void;
  event(event: TraceEvent): void;
}

/** Writes one trace. Those that watch the two ends and their transport tell it what they see. */
export class Recorder {
  readonly header: TraceHeader;
  readonly #sink: TraceSink;
  readonly #clock: Clock;
  readonly #start: number;
  /** Looks for what has happened unseen, and writes that. Called before each event, and after each access. */
  look: (() => void) | undefined;

  constructor(header: Omit<TraceHeader, 'trace' | 'version'>, sink: TraceSink, clock: Clock) {
    this.header = { trace: 'virtio', version: TRACE_VERSION, ...header };
    this.#sink = sink;
    this.#clock = clock;
    this.#start = clock.now();
    sink.begin(this.header);
  }

  /** What was read since the last event. */
  #reads: Extract<TraceEvent, { kind: 'memory' }> | undefined;

  /** Something has happened, now. */
  event(event: TraceEvent): void {
    this.look?.();
    this.write(event);
  }

  /** The device reads the memory of a queue. Reads no more than `gap` bytes behind each other are told of as one. */
  deviceReads(queue: number, address: number, length: number, gap = 0): void {
    const last = this.#reads;
    const end = (last?.address ?? 0) + (last?.length ?? 0);
    const follows = last?.queue === queue && address >= last.address && address <= end + gap;
    if (!follows) this.tellReads();
    const from = follows ? last.address : address;
    const upTo = follows ? Math.max(end, address + length) : address + length;
    this.#reads = { kind: 'memory', by: 'device', access: 'read', queue, address: from, length: upTo - from };
  }

  /** Writes what was read. It came before everything that is written after it. */
  tellReads(): void {
    const reads = this.#reads;
    this.#reads = undefined;
    if (reads !== undefined) this.write(reads);
  }

  /** As `event`, for what `look` has found. */
  write(event: TraceEvent): void {
    this.tellReads();
    const time = Math.round((this.#clock.now() - this.#start) * 1e6) / 1e3;
    this.#sink.event({ ...event, time });
  }
}

/** Keeps a trace as lines of text. */
export class TraceLines implements TraceSink {
  readonly lines: string[] = [];

  begin(header: TraceHeader): void {
    this.lines.push(formatLine(header));
  }

  event(event: TraceEvent): void {
    this.lines.push(formatLine(event));
  }
}
