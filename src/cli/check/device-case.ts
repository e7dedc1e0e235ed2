import type { Bench } from './bench.ts';
import { CaseFailed, type HandDriver } from './hand-driver.ts';
import type { WaitingKind } from './waiting-types.ts';

/**
 * What a judge must be able to do behind the device, besides being its driver: keep requests in processing, resize the disk,
 * let something come that buffers wait for, let the device fail, let its back-end refuse to start again.
 */
export type Need = 'held requests' | 'resize' | 'arrivals' | 'failure' | 'failing wake';

interface About {
  readonly name: string;
  /** The requirements of docs/conformance.md that it is about. */
  readonly requirements: readonly string[];
  /** The type of device that it is for, which something can be made to come to; a block device if none is named. */
  readonly type?: WaitingKind;
  /** Bits that the device has to offer. */
  readonly features?: readonly number[];
}

/** All of it is done by the driver. */
interface DrivenCase extends About {
  readonly needs?: undefined;
  run(driver: HandDriver): Promise<void>;
}

/** Something is done behind the device, too. */
interface SteeredCase extends About {
  readonly needs: readonly Need[];
  run(driver: HandDriver, bench: Bench): Promise<void>;
}

/** Something that a device is put through. What it breaks on the way the judge says; a case says what did not come about. */
export type DeviceCase = DrivenCase | SteeredCase;

export function expect(holds: unknown, otherwise: string): void {
  if (!holds) throw new CaseFailed(otherwise);
}

/** Requests go through, as at any time. */
export async function works(driver: HandDriver): Promise<void> {
  driver.send(1, 2);
  await driver.finish();
}

/** Requests that stay in processing until the disk is released. */
export function hold(driver: HandDriver, { disk }: Bench, ...sectors: readonly number[]): void {
  disk.hold();
  driver.send(...sectors);
}

/** Long enough for a device that does what it must not. */
export function awhile(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 5));
}
