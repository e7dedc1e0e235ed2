import type { TraceEvent, TraceHeader } from './trace.ts';

/**
 * Traces are JSON lines: a header, then one event a line, in the order in which things happened. Unknown members are
 * mistakes, for a misspelt one would be a fact that no rule sees.
 */

export const TRACE_VERSION = 1;

/** A line that is none. `line` counts from 1. */
export interface BadLine {
  readonly line: number;
  readonly message: string;
}

type Check = (value: unknown) => string | undefined;
type Shape = Readonly<Record<string, Check>>;
type ShapeOf<E> = { readonly [Member in Exclude<keyof E, 'kind' | 'time'>]-?: Check };

const whole =
  (most: number): Check =>
  (value) =>
    Number.isInteger(value) && (value as number) >= 0 && (value as number) <= most
      ? undefined
      : `is a whole number from 0 to ${most}`;
const oneOf =
  (...values: readonly unknown[]): Check =>
  (value) =>
    values.includes(value) ? undefined : `is one of ${values.map((v) => JSON.stringify(v)).join(', ')}`;
const optional =
  (check: Check): Check =>
  (value) =>
    value === undefined ? undefined : check(value);
const matching =
  (pattern: RegExp, what: string): Check =>
  (value) =>
    typeof value === 'string' && pattern.test(value) ? undefined : `is ${what}`;

const u8 = whole(0xff);
const u16 = whole(0xffff);
const u32 = whole(0xffff_ffff);
const address = whole(Number.MAX_SAFE_INTEGER);
const width = oneOf(1, 2, 4);
const anyWidth = whole(8);
const word = whole(3);
const text = matching(/^/, 'a text');
const access = oneOf('read', 'write');
const role = oneOf('device', 'driver');
const bytes = matching(/^([0-9a-f]{2})*$/, 'bytes in hexadecimal, lower case');
const features = matching(/^[0-9a-f]{1,32}$/, 'a feature set in hexadecimal, lower case');
const time = optional((value) => (typeof value === 'number' && value >= 0 ? undefined : 'is microseconds, from 0 on'));

const boolean = oneOf(true, false);
const state = {
  status: u8,
  features,
  paused: optional(boolean),
  queues: optional(listOf({ queue: u16, available: u16, used: u16 })),
};

const SHAPES: { readonly [E in TraceEvent as E['kind']]: ShapeOf<E> } = {
  'status.write': { value: u8 },
  'status.read': { value: u8 },
  'status.shown': { value: u8 },
  'features.device': { word, bits: u32 },
  'features.driver': { word, bits: u32 },
  'config.read': { offset: u32, width, value: u32 },
  'config.write': { offset: u32, width, value: u32 },
  'config.generation': { value: u32 },
  'config.changed': {},
  'queue.enable': {
    queue: u16,
    size: optional(u16),
    descriptor: optional(address),
    driver: optional(address),
    device: optional(address),
  },
  'queue.reset': { queue: u16 },
  'queue.reset.read': { queue: u16, value: u16 },
  kick: { queue: u16 },
  message: { vector: u16 },
  interrupt: { cause: oneOf('used', 'config'), queue: optional(u16) },
  'buffer.available': {
    queue: u16,
    id: u16,
    readable: optional(address),
    writable: optional(address),
    at: optional(u16),
  },
  'buffer.taken': { queue: u16, id: u16 },
  'buffer.used': { queue: u16, id: u16, written: u32, flagged: optional(boolean) },
  'buffer.contents': {
    by: role,
    queue: u16,
    id: u16,
    table: optional(bytes),
    head: optional(bytes),
    tail: optional(bytes),
  },
  memory: { by: role, access, queue: u16, address, length: u32, bytes: optional(bytes) },
  mmio: { access, offset: u32, width: anyWidth, value: u32 },
  pci: {
    access,
    structure: oneOf('common', 'notify', 'isr', 'device', 'space'),
    offset: u32,
    width: anyWidth,
    value: u32,
  },
  saved: state,
  restored: state,
};

const HEADER: { readonly [Member in keyof TraceHeader]-?: Check } = {
  trace: oneOf('virtio'),
  version: oneOf(TRACE_VERSION),
  transport: oneOf('direct', 'pci', 'mmio'),
  device: u16,
  text: optional(oneOf('v1', '1.4')),
  title: optional(text),
};

/** One line of a trace, without its end. */
export function formatLine(value: TraceHeader | TraceEvent): string {
  return JSON.stringify(value);
}

/**
 * Reads a trace line by line. A line that makes no sense goes to `bad`, with what is wrong in it, and is left out; an empty
 * one is no line. Without a header nothing else can be read.
 */
export class TraceReader {
  readonly bad: BadLine[] = [];
  header: TraceHeader | undefined;
  #line = 0;

  /** The number of the last line. */
  get line(): number {
    return this.#line;
  }

  /** The event in the next line of the file; undefined for the header and for a line that has none. */
  read(text: string): TraceEvent | undefined {
    this.#line++;
    if (text.trim() === '' || (this.header === undefined && this.bad.length > 0)) return undefined;
    const value = parse(text);
    if (this.header !== undefined) return this.#event(value);
    const wrong = value === undefined ? 'it is no JSON object' : misfit(value, HEADER);
    if (wrong === undefined) this.header = value as unknown as TraceHeader;
    else this.#refuse(`a trace begins with a header: ${wrong}`);
    return undefined;
  }

  #event(value: Readonly<Record<string, unknown>> | undefined): TraceEvent | undefined {
    if (value === undefined) return this.#refuse('it is no JSON object');
    const { kind, ...members } = value;
    if (typeof kind !== 'string' || !Object.hasOwn(SHAPES, kind)) {
      return this.#refuse(`there is no event of the kind ${JSON.stringify(kind)}`);
    }
    const wrong = misfit(members, { time, ...SHAPES[kind as TraceEvent['kind']] });
    return wrong === undefined ? (value as unknown as TraceEvent) : this.#refuse(`${kind}: ${wrong}`);
  }

  #refuse(message: string): undefined {
    this.bad.push({ line: this.#line, message });
  }
}

function parse(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return isObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function listOf(shape: Shape): Check {
  return (value) => {
    if (!Array.isArray(value)) return 'is a list';
    const wrong = value.map((one) => (isObject(one) ? misfit(one, shape) : 'it is no JSON object'));
    const at = wrong.findIndex((message) => message !== undefined);
    return at < 0 ? undefined : `is a list whose ${at + 1}. entry makes sense (${wrong[at]})`;
  };
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function misfit(members: Readonly<Record<string, unknown>>, shape: Shape): string | undefined {
  const unknown = Object.keys(members).find((name) => !Object.hasOwn(shape, name));
  if (unknown !== undefined) return `it has no member ${unknown}`;
  for (const [name, check] of Object.entries(shape)) {
    const wrong = check(members[name]);
    if (wrong !== undefined) return `${name} ${wrong}, not ${JSON.stringify(members[name])}`;
  }
  return undefined;
}
