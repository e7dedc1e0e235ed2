import { BlockDriver } from '../../devices/block/driver.ts';
import { SECTOR_BYTES } from '../../devices/block/layout.ts';
import { byteOf, makeVariedBench } from './bench.ts';
import { type DriverCase, type DriverUnderTest, expect, type Load, type TransitionLimit } from './driver-case.ts';
import type { CheckCase } from './run-cases.ts';

/** The block driver of this project. */
class OwnDriver implements DriverUnderTest {
  readonly manyCycles = 100;
  readonly #driver: BlockDriver;

  constructor(driver: BlockDriver) {
    this.#driver = driver;
  }

  initialize(): Promise<void> {
    return this.#driver.initialize();
  }

  recover(): Promise<void> {
    return this.initialize();
  }

  async begin(...sectors: readonly number[]): Promise<Load> {
    const reads = Promise.allSettled(sectors.map((sector) => this.#driver.read(sector, SECTOR_BYTES)));
    return async () => {
      for (const [n, result] of (await reads).entries()) {
        if (result.status === 'rejected') throw result.reason;
        const sector = sectors[n]!;
        const isRight = result.value.every((byte) => byte === byteOf(sector));
        expect(isRight, `sector ${sector} has other bytes`);
      }
    };
  }

  suspend(limit?: TransitionLimit): Promise<void> {
    return this.#driver.suspend(limit);
  }

  resume(limit?: TransitionLimit): Promise<void> {
    return this.#driver.resume(limit);
  }

  async capacitySectors(): Promise<number> {
    return this.#driver.info.capacitySectors;
  }
}

/** A driver of ours and its device, for one case. */
export async function prepareOwnDriver(
  way: 'direct' | 'pci',
  { run }: DriverCase,
  offer: readonly number[],
): Promise<CheckCase> {
  const bench = await makeVariedBench(way, { offer });
  const driver = new BlockDriver(bench.transport, bench.allocator, { queueSize: 16, resetLimitMs: 100 });
  return { trace: bench.trace, run: () => run(new OwnDriver(driver), bench) };
}
