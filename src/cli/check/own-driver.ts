import { type Clock, systemClock } from '../../device/clock.ts';
import { BlockDriver } from '../../devices/block/driver.ts';
import { SECTOR_BYTES } from '../../devices/block/layout.ts';
import { type StatusFault, StatusWaitError } from '../../driver/status-wait.ts';
import type { TraceTransport } from '../../monitor/trace.ts';
import { byteOf } from './bench.ts';
import { expect } from './case-failed.ts';
import type { DriverCase, DriverUnderTest, GivenUp, Load, TransitionLimit } from './driver-case.ts';
import type { CheckCase } from './run-cases.ts';
import { makeVariedBench } from './varied-bench.ts';

const WHY: Readonly<Partial<Record<StatusFault, GivenUp>>> = {
  needsReset: 'it needs a reset',
  lost: 'it was reset',
  gone: 'it is gone',
  limit: 'it takes too long',
};

/** The block driver of this project. */
class OwnDriver implements DriverUnderTest {
  readonly manyCycles = 100;
  readonly lostRequests = 'fail';
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

  async whyGivenUp(error: unknown): Promise<GivenUp | undefined> {
    return error instanceof StatusWaitError ? WHY[error.fault] : undefined;
  }

  async capacitySectors(): Promise<number> {
    return this.#driver.info.capacitySectors;
  }
}

/** Which driver: ours, if not said otherwise. */
interface OwnDriverOptions {
  readonly way: TraceTransport;
  readonly clock?: Clock;
  /** Makes the driver, if it is to be another than ours. */
  readonly make?: (...of: ConstructorParameters<typeof BlockDriver>) => BlockDriver;
}

/** A driver of ours and its device, for one case. */
export async function prepareOwnDriver(
  { way, clock = systemClock, make = (...of) => new BlockDriver(...of) }: OwnDriverOptions,
  { run }: DriverCase,
  offer: readonly number[],
): Promise<CheckCase> {
  const bench = await makeVariedBench(way, { offer }, clock);
  const options = { queueSize: 16, resetLimitMs: 100, clock };
  const driver = make(bench.transport, bench.allocator, options);
  return { trace: bench.trace, run: () => run(new OwnDriver(driver), bench) };
}
