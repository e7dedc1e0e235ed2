import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { GuestAllocator } from '../../../src/memory/allocator.ts';
import { GuestMemory } from '../../../src/memory/guest-memory.ts';
import { BufferList } from '../../../src/queue/buffer-list.ts';
import type { DriverQueue } from '../../../src/queue/driver-queue.ts';
import { ProtocolError } from '../../../src/spec/fault.ts';
import { queueKinds } from '../../support/queue-pair.ts';
import { runs } from '../../support/runs.ts';

const SIZE = 4;
const MEMORY_BYTES = 0x1000;

/** What a device does in one turn: it fills its memory, or says something that is almost true. */
interface Turn {
  readonly bytes: readonly number[];
  readonly index: number;
  readonly entries: readonly { readonly id: number; readonly length: number; readonly marks: number }[];
  readonly offers: number;
  readonly exposes: boolean;
}

const turn: fc.Arbitrary<Turn> = fc.record({
  bytes: fc.oneof(
    { weight: 1, arbitrary: fc.array(fc.nat(255), { maxLength: 80 }) },
    { weight: 4, arbitrary: fc.constant([]) },
  ),
  index: fc.oneof(fc.nat(2 * SIZE), fc.nat(0xffff)),
  entries: fc.array(
    fc.record({ id: fc.nat(SIZE), length: fc.nat(12), marks: fc.constantFrom(0, 0x80, 0x8000, 0x8080, 0x8082, 2) }),
    { minLength: SIZE, maxLength: SIZE },
  ),
  offers: fc.nat(3),
  exposes: fc.boolean(),
});

function act(memory: GuestMemory, queue: DriverQueue, split: boolean, { bytes, index, entries }: Turn): void {
  const { view, bytes: all } = memory.regions[0]!;
  const { deviceArea, descriptorArea } = queue.layout;
  if (split) view.setUint16(deviceArea + 2, index, true);
  for (const [n, { id, length, marks }] of entries.entries()) {
    if (split) {
      view.setUint32(deviceArea + 4 + 8 * n, id, true);
      view.setUint32(deviceArea + 8 + 8 * n, length, true);
    } else {
      view.setUint32(descriptorArea + 16 * n + 8, length, true);
      view.setUint16(descriptorArea + 16 * n + 12, id, true);
      view.setUint16(descriptorArea + 16 * n + 14, marks, true);
    }
  }
  all.set(bytes, split ? deviceArea : descriptorArea);
}

describe('a driver hands back only what is out, once, and no more bytes than it has room for, whatever its device writes', () => {
  for (const kind of queueKinds) {
    it(kind.name, () => {
      let collected = 0;
      let faults = 0;
      const property = fc.property(fc.array(turn, { minLength: 1, maxLength: 12 }), (turns) => {
        const memory = GuestMemory.over(new Uint8Array(MEMORY_BYTES));
        const queue = kind.makeDriver(new GuestAllocator(memory, 0x100, MEMORY_BYTES - 0x100), SIZE);
        const list = new BufferList().addReadable(0x10, 4).addWritable(0x20, 8);
        const out = new Set<number>();
        const hidden = new Set<number>();
        for (const step of turns) {
          for (let n = 0; n < step.offers; n++) {
            const id = queue.offer(list);
            if (id < 0) break;
            expect(out.has(id) || hidden.has(id)).toBe(false);
            hidden.add(id);
          }
          if (step.exposes) {
            queue.expose();
            for (const id of hidden) out.add(id);
            hidden.clear();
          }
          act(memory, queue, kind.name.startsWith('split'), step);
          try {
            for (let used = queue.collect(); used !== undefined; used = queue.collect()) {
              expect(out.delete(used.id)).toBe(true);
              expect(used.written).toBeLessThanOrEqual(8);
              collected++;
            }
          } catch (error) {
            expect(error).toBeInstanceOf(ProtocolError);
            faults++;
          }
          expect(queue.outstanding).toBe(out.size + hidden.size);
        }
      });
      fc.assert(property, runs(20260104, 300));
      expect(collected).toBeGreaterThan(50);
      expect(faults).toBeGreaterThan(50);
    });
  }
});
