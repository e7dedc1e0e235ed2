import { Feature } from '../../spec/features.ts';
import type { Bench } from './bench.ts';
import type { DeviceCase } from './device-case.ts';
import { configuration } from './device-cases-config.ts';
import { entering } from './device-cases-entering.ts';
import { failing } from './device-cases-failing.ts';
import { leaving } from './device-cases-leaving.ts';
import { moving } from './device-cases-moving.ts';
import { negotiation } from './device-cases-negotiation.ts';
import { queues } from './device-cases-queues.ts';
import { atRest } from './device-cases-rest.ts';
import { serving } from './device-cases-serving.ts';
import { waiting } from './device-cases-waiting.ts';
import { HandDriver } from './hand-driver.ts';

/** All of these suspend the device. */
const suspending = [
  ...entering,
  ...atRest,
  ...configuration,
  ...leaving,
  ...queues,
  ...waiting,
  ...failing,
  ...moving,
].map((one): DeviceCase => {
  return { ...one, features: [Feature.SUSPEND, ...(one.features ?? [])] };
});

/** What a device is put through, in order. */
export const deviceCases: readonly DeviceCase[] = [...negotiation, ...serving, ...suspending];

export function runDeviceCase({ run }: DeviceCase, bench: Bench): Promise<void> {
  return run(new HandDriver(bench), bench);
}
