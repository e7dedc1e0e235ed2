/** Back-ends that are killed at any moment, and others that go on: no request is lost, none comes back twice. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { PackedInflight } from '../../../../src/hosts/vhost-user/inflight-packed.ts';
import type { InflightQueue } from '../../../../src/hosts/vhost-user/inflight-queue.ts';
import { SplitInflight } from '../../../../src/hosts/vhost-user/inflight-split.ts';
import { baseOf, positionsOf } from '../../../../src/hosts/vhost-user/ring.ts';
import { ringInMemory } from '../../../../src/hosts/vhost-user/ring-in-memory.ts';
import type { Chain } from '../../../../src/queue/chain.ts';
import { ProtocolError } from '../../../../src/spec/fault.ts';
import { type QueueKind, QueuePair, queueKinds } from '../../../support/queue-pair.ts';
import { runs } from '../../../support/runs.ts';

const SIZE = 8;
const FIRST = { split: 0, packed: 0x8000_8000 } as const;

class Killed extends Error {}

/** Memory that the process does not live to write to more than so many times. */
class MortalMemory {
  readonly view = new DataView(new ArrayBuffer(4096));
  writesLeft = Number.POSITIVE_INFINITY;

  constructor() {
    for (const name of ['setUint8', 'setUint16', 'setUint32'] as const) {
      const write = DataView.prototype[name].bind(this.view);
      this.view[name] = (at: number, value: number, littleEndian?: boolean) => {
        if (this.writesLeft-- <= 0) throw new Killed();
        write(at, value, littleEndian);
      };
    }
  }
}

/** A back-end, the memory that outlives it, and its driver. */
class Rig {
  readonly pair: QueuePair;
  readonly memory = new MortalMemory();
  readonly #format: 'split' | 'packed';
  held: Chain[] = [];
  nextToken = 1;
  readonly out = new Set<number>();
  kills = 0;

  constructor(kind: QueueKind) {
    this.#format = kind.name.startsWith('split') ? 'split' : 'packed';
    this.pair = new QueuePair(kind, SIZE);
    this.#start();
  }

  #start(): void {
    this.memory.writesLeft = Number.POSITIVE_INFINITY;
    const record: InflightQueue =
      this.#format === 'split' ? new SplitInflight(this.memory.view, SIZE) : new PackedInflight(this.memory.view, SIZE);
    const base = positionsOf(FIRST[this.#format], this.#format);
    this.pair.replace(record.resume(base, ringInMemory(this.pair.memory, this.pair.driver.layout)), record);
    this.held = [];
  }

  /** A moment in the life of the back-end; it ends when it is killed, and the next one begins. */
  live(moment: () => void): void {
    try {
      moment();
    } catch (error) {
      if (!(error instanceof Killed)) throw error;
      this.kill();
    }
  }

  kill(): void {
    this.kills++;
    this.#start();
  }

  offer(buffers: 1 | 2): void {
    if (this.pair.offer(this.nextToken, buffers) < 0) return;
    this.out.add(this.nextToken++);
    this.pair.driver.expose();
  }

  take(): void {
    const chain = this.pair.device.take();
    if (chain !== undefined) this.held.push(chain);
  }

  use(which: number): void {
    const [chain] = this.held.splice(which % Math.max(1, this.held.length), 1);
    // What is written does not matter here, but that it is the same however often it is done.
    if (chain !== undefined) this.pair.answer(chain, 77);
  }

  collect(): void {
    for (let back = this.pair.collect(); back !== undefined; back = this.pair.collect()) {
      expect(this.out.delete(back.token)).toBe(true);
      expect(back.answer).toBe(77);
    }
  }

  /** Whatever is out comes back once the back-end is left alone. */
  finish(): void {
    this.memory.writesLeft = Number.POSITIVE_INFINITY;
    for (let round = 0; round < 3; round++) {
      for (let n = 0; n < SIZE; n++) this.take();
      while (this.held.length > 0) this.use(0);
      this.pair.device.publish();
      this.collect();
    }
    expect([...this.out]).toEqual([]);
    this.pair.device.verify();
  }
}

type Step = { readonly what: 'offer' | 'take' | 'use' | 'publish' | 'collect' | 'kill' | 'mortal'; readonly n: number };

const step: fc.Arbitrary<Step> = fc.record({
  what: fc.constantFrom('offer', 'offer', 'take', 'take', 'use', 'use', 'publish', 'collect', 'kill', 'mortal'),
  n: fc.nat(20),
});

const kinds = queueKinds.filter(({ features }) => features.inOrder !== true);

describe.each(kinds)('a record of what is in flight: $name', (kind) => {
  it('lets the next back-end go on, wherever the one before was killed', () => {
    let kills = 0;
    fc.assert(
      fc.property(fc.array(step, { minLength: 20, maxLength: 120 }), (steps) => {
        const rig = new Rig(kind);
        for (const { what, n } of steps) {
          if (what === 'offer') rig.offer(n % 2 === 0 ? 1 : 2);
          else if (what === 'collect') rig.collect();
          else if (what === 'mortal') rig.memory.writesLeft = n;
          else if (what === 'kill') rig.kill();
          else {
            rig.live(() => {
              if (what === 'take') rig.take();
              else if (what === 'use') rig.use(n);
              else rig.pair.device.publish();
            });
          }
        }
        rig.finish();
        kills += rig.kills;
      }),
      runs(20261123, 150),
    );
    expect(kills).toBeGreaterThan(300);
  });

  it('refuses memory that no back-end has written, and stays within it', () => {
    const bytes = fc.uint8Array({ minLength: 512, maxLength: 512 });
    fc.assert(
      fc.property(bytes, (contents) => {
        const pair = new QueuePair(kind, SIZE);
        const format = kind.name.startsWith('split') ? 'split' : 'packed';
        contents.set([1, 0], 8);
        const view = new DataView(contents.buffer);
        const record: InflightQueue =
          format === 'split' ? new SplitInflight(view, SIZE) : new PackedInflight(view, SIZE);
        try {
          const base = positionsOf(FIRST[format], format);
          pair.replace(record.resume(base, ringInMemory(pair.memory, pair.driver.layout)), record);
          for (let n = 0; n < SIZE; n++) {
            const chain = pair.device.take();
            if (chain !== undefined) pair.device.complete(chain, 0);
          }
          pair.device.publish();
        } catch (error) {
          // What comes out of it is checked again where it is used.
          if (!(error instanceof ProtocolError) && (error as Error).name !== 'StateError') throw error;
        }
      }),
      runs(20261124, 300),
    );
  });
});

describe('a base', () => {
  it('says the same as the positions', () => {
    expect(baseOf(positionsOf(0x8000_8000, 'packed'))).toBe(0x8000_8000);
    expect(baseOf(positionsOf(0x0005_0005, 'packed'))).toBe(0x0005_0005);
    expect(baseOf(positionsOf(0xfffe, 'split'))).toBe(0xfffe);
  });
});
