import { type Bench, byteOf } from './bench.ts';
import type { DeviceCase } from './device-case.ts';
import { entering } from './device-cases-entering.ts';
import { failing } from './device-cases-failing.ts';
import { leaving } from './device-cases-leaving.ts';
import { negotiation } from './device-cases-negotiation.ts';
import { queues } from './device-cases-queues.ts';
import { atRest } from './device-cases-rest.ts';
import { waiting } from './device-cases-waiting.ts';
import { HandDriver } from './hand-driver.ts';

/** What a device is put through, in order. */
export const deviceCases: readonly DeviceCase[] = [
  ...negotiation,
  ...entering,
  ...atRest,
  ...leaving,
  ...queues,
  ...waiting,
  ...failing,
];

export function runDeviceCase({ run }: DeviceCase, bench: Bench): Promise<void> {
  return run(new HandDriver(bench.transport, bench.memory, bench.allocator, byteOf), bench);
}
