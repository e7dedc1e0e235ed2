import { joinU64 } from '../../memory/guest-memory.ts';
import { ProtocolError } from '../../spec/fault.ts';
import type { RegionDescription } from './front-end-memory.ts';
import type { InflightShape } from './inflight.ts';
import type { Message } from './message-reader.ts';
import { ConfigField, InflightField, MemoryRegionField, MemoryTable } from './messages.ts';

/** Beyond 2^53 not exact, but still larger than anything that there is. */
export function readU64(payload: DataView, offset: number): number {
  return joinU64(payload.getUint32(offset, true), payload.getUint32(offset + 4, true));
}

export function readRegion(payload: DataView, offset: number): RegionDescription {
  return {
    guestAddress: readU64(payload, offset + MemoryRegionField.GUEST),
    size: readU64(payload, offset + MemoryRegionField.SIZE),
    userAddress: readU64(payload, offset + MemoryRegionField.USER),
    fileOffset: readU64(payload, offset + MemoryRegionField.OFFSET),
  };
}

/** The regions of SET_MEM_TABLE, one for each descriptor. */
export function readTable(message: Message): RegionDescription[] {
  const { payload } = message;
  const count = payload.getUint32(MemoryTable.COUNT, true);
  if (count > (payload.byteLength - MemoryTable.REGIONS) / MemoryRegionField.BYTES) {
    throw new ProtocolError(
      'vhost.frontend.message.size',
      `a table of ${count} regions in ${payload.byteLength} bytes`,
    );
  }
  requireFds(message, count);
  return Array.from({ length: count }, (_, n) => {
    return readRegion(payload, MemoryTable.REGIONS + n * MemoryRegionField.BYTES);
  });
}

/** What of the configuration space GET_CONFIG and SET_CONFIG are about. */
export function configRange(payload: DataView): { readonly offset: number; readonly length: number } {
  const length = payload.getUint32(ConfigField.SIZE, true);
  if (length > payload.byteLength - ConfigField.BYTES) {
    throw new ProtocolError(
      'vhost.frontend.config',
      `${length} bytes of configuration in a message of ${payload.byteLength}`,
    );
  }
  return { offset: payload.getUint32(ConfigField.OFFSET, true), length };
}

export function readInflight(payload: DataView): InflightShape {
  return {
    bytes: readU64(payload, InflightField.BYTES),
    fileOffset: readU64(payload, InflightField.OFFSET),
    queues: payload.getUint16(InflightField.QUEUES, true),
    queueSize: payload.getUint16(InflightField.QUEUE_SIZE, true),
  };
}

export function requireFds({ shape, fds }: Message, count: number): void {
  if (fds.length === count) return;
  throw new ProtocolError(
    'vhost.frontend.message.fds',
    `${shape.name} with ${fds.length} descriptors instead of ${count}`,
  );
}
