/** Requests of a block device in traces that are written by hand. */
import type { TraceEvent } from '../../src/monitor/trace.ts';

/** Little-endian bytes of a number, in hexadecimal. */
export function le(value: number, bytes: number): string {
  const all = Array.from({ length: bytes }, (_, n) => Math.floor(value / 2 ** (8 * n)) % 0x100);
  return all.map((byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** A request as buffer 0, or another: bytes of data for the device to read and to write, and what the first of them are. */
export function asks(
  type: number,
  sector: number,
  { out = 0, room = 0, data = '', id = 0 }: { out?: number; room?: number; data?: string; id?: number } = {},
): TraceEvent[] {
  const head = le(type, 4) + le(0, 4) + le(sector, 8) + data;
  const readable = 16 + Math.max(out, data.length / 2);
  return [
    { kind: 'buffer.contents', by: 'driver', queue: 0, id, head },
    { kind: 'buffer.available', queue: 0, id, readable, writable: room + 1 },
  ];
}

/** Its answer: a status, what the first bytes are that were written, and what is before the status. */
export function answers(
  status: number,
  { head = '', before = '', id = 0 }: { head?: string; before?: string; id?: number } = {},
): TraceEvent[] {
  return [
    { kind: 'buffer.contents', by: 'device', queue: 0, id, head, tail: before + le(status, 1) },
    { kind: 'buffer.used', queue: 0, id, written: 1 },
  ];
}

/** A range of a discard, an erase or zeroing. */
export function range(sector: number, sectors: number, flags = 0): string {
  return le(sector, 8) + le(sectors, 4) + le(flags, 4);
}
