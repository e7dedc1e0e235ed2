import type { Bench } from './bench.ts';
import type { HandDriver } from './hand-driver.ts';
import type { WaitingKind } from './waiting-types.ts';

/**
 * What a judge must be able to do behind the device, besides being its driver: keep requests in processing, change what the
 * configuration says, let something come that buffers wait for, write to the disk, let the device fail, let its back-end refuse to
 * start again or take its time for that, move the device to another place.
 */
export type Need =
  | 'held requests'
  | 'changes'
  | 'arrivals'
  | 'a disk to write to'
  | 'failure'
  | 'failing wake'
  | 'slow wake'
  | 'moves';

interface About {
  readonly name: string;
  /** The requirements of docs/conformance.md that it is about. */
  readonly requirements: readonly string[];
  /** The type of device that it is for; a block device if none is named. */
  readonly type?: WaitingKind;
  /** Bits that the device has to offer. */
  readonly features?: readonly number[];
  /** The way to the device has to have registers of queues that can be read. */
  readonly reads?: 'registers';
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
