import { Mmio } from '../spec/mmio.ts';
import { PciCommon, PciHeader } from '../spec/pci.ts';
import { describeStatus } from '../spec/status.ts';
import type { MmioAccess, PciAccess, TraceEvent } from './trace.ts';

/** What to call an event in few words, for pictures. */
export function nameOf(event: TraceEvent): string {
  switch (event.kind) {
    case 'status.write':
    case 'status.read':
    case 'status.shown':
      return `${event.kind} ${describeStatus(event.value)}`;
    case 'features.device':
    case 'features.driver':
      return `${event.kind} ${32 * event.word}+: 0x${event.bits.toString(16)}`;
    case 'config.read':
    case 'config.write':
      return `${event.kind} ${event.offset}: ${event.value}`;
    case 'config.generation':
      return `${event.kind} ${event.value}`;
    case 'saved':
    case 'restored':
      return `${event.kind} ${describeStatus(event.status)}${event.paused === true ? ', paused' : ''}`;
    case 'kick':
    case 'queue.enable':
    case 'queue.reset':
      return `${event.kind} ${event.queue}`;
    case 'queue.reset.read':
      return `${event.kind} ${event.queue}: ${event.value}`;
    case 'interrupt':
      return event.queue === undefined ? event.cause : `${event.cause} ${event.queue}`;
    case 'message':
      return `message ${event.vector}`;
    case 'buffer.available':
    case 'buffer.taken':
    case 'buffer.used':
    case 'buffer.contents':
      return `${event.kind} ${event.queue}:${event.id}`;
    case 'memory':
      return `${event.access} ring ${event.queue}`;
    case 'mmio':
    case 'pci':
      return `${event.access} ${registerOf(event)}`;
    case 'config.changed':
      return event.kind;
  }
}

const MMIO = byOffset(Mmio);
const COMMON = byOffset(PciCommon);
const SPACE = byOffset(PciHeader);

/** The standard's name of a register, or of the field that an access is to the second half of. */
function registerOf(access: MmioAccess | PciAccess): string {
  const { offset } = access;
  if (access.kind === 'mmio') return named(MMIO, offset, '');
  if (access.structure === 'common') return named(COMMON, offset, 'common ');
  if (access.structure === 'space') return named(SPACE, offset, 'space ');
  return `${access.structure} 0x${offset.toString(16)}`;
}

function named(names: ReadonlyMap<number, string>, offset: number, before: string): string {
  const name = names.get(offset);
  const half = names.get(offset - 4);
  if (name !== undefined) return `${before}${name}`;
  return half === undefined ? `${before}0x${offset.toString(16)}` : `${before}${half}+4`;
}

function byOffset(registers: Readonly<Record<string, number>>): ReadonlyMap<number, string> {
  return new Map(Object.entries(registers).map(([name, offset]) => [offset, name]));
}
