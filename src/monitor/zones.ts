import { BlockField, BlockType, ZoneReport, ZoneState } from './block-format.ts';
import type { HexBytes } from './ring-memory.ts';
import type { Session } from './session.ts';

/** What a report has said of a zone. Its state and write pointer are known only while nothing can have changed them. */
export interface Zone {
  readonly start: number;
  /** Sectors that can be written. */
  readonly capacity: number;
  readonly type: number;
  readonly state: number | undefined;
  readonly pointer: number | undefined;
}

/** What changes zones, or may. */
const CHANGING: ReadonlySet<number> = new Set([
  BlockType.OUT,
  BlockType.DISCARD,
  BlockType.WRITE_ZEROES,
  BlockType.SECURE_ERASE,
  BlockType.ZONE_APPEND,
  BlockType.ZONE_OPEN,
  BlockType.ZONE_CLOSE,
  BlockType.ZONE_FINISH,
  BlockType.ZONE_RESET,
  BlockType.ZONE_RESET_ALL,
]);

/** Whether a request may change what is on the disk, or its zones. */
export function isChanging({ type }: { readonly type: number }): boolean {
  return CHANGING.has(type);
}

/** The zones of a disk (§5.2.6), as its reports have shown them. A moment lasts as long as nothing can change. */
export class Zones {
  readonly #session: Session;
  readonly #known = new Map<number, Zone & { readonly moment: number }>();

  constructor(session: Session) {
    this.#session = session;
  }

  at(sector: number, moment: number): Zone | undefined {
    const size = this.#session.configured(BlockField.ZONE_SECTORS, 4);
    if (size === undefined || size === 0) return undefined;
    const zone = this.#known.get(sector - (sector % size));
    if (zone === undefined) return undefined;
    // A zone that cannot be written any more never can again.
    const isLasting = zone.state === ZoneState.READ_ONLY || zone.state === ZoneState.OFFLINE;
    return isLasting || zone.moment === moment ? zone : { ...zone, state: undefined, pointer: undefined };
  }

  /** What a report says, as far as it is known. */
  learn(report: HexBytes, moment: number): void {
    for (const zone of zonesIn(report)) this.#known.set(zone.start, { ...zone, moment });
  }
}

export function zonesIn(report: HexBytes): readonly (Zone & { readonly state: number; readonly pointer: number })[] {
  const count = Math.min(Math.floor(report.length / ZoneReport.BYTES) - 1, report.u64(0));
  return Array.from({ length: Math.max(0, count) }, (_, n) => {
    const at = ZoneReport.ZONES + n * ZoneReport.BYTES;
    return {
      start: report.u64(at + ZoneReport.START),
      capacity: report.u64(at + ZoneReport.CAPACITY),
      type: report.u8(at + ZoneReport.TYPE),
      state: report.u8(at + ZoneReport.STATE),
      pointer: report.u64(at + ZoneReport.POINTER),
    };
  });
}
