import type { Clock } from '../../device/clock.ts';
import type { TraceTransport } from '../../monitor/trace.ts';
import { Feature } from '../../spec/features.ts';
import { type BenchOptions, makeBench } from './bench.ts';
import { deviceCases, runDeviceCase } from './device-cases.ts';
import { CHOSEN_RINGS, declinedFor } from './ends.ts';
import type { CheckCase, NamedCase } from './run-cases.ts';
import { whyNotOurs } from './why-not.ts';

/** The device's own feature bits begin here, but for a few: those are its type's to offer. */
const FIRST_GENERIC = 24;
/** What every device of ours offers unasked. */
const UNASKED: readonly number[] = [Feature.SUSPEND, Feature.INDIRECT_DESC, Feature.EVENT_IDX];
/** Over PCI one kind of ring has messages, enough for each queue and the configuration, and the others the line. */
const MESSAGES = { ring: 'packed', vectors: 3 } as const;

/** Which device: ours, if not said otherwise. */
interface OwnDevice {
  readonly way: TraceTransport;
  readonly rings?: typeof CHOSEN_RINGS;
  readonly clock?: Clock;
  readonly make?: NonNullable<BenchOptions['make']>;
}

/** Each case has a device of its own. */
export function ownCases({ way, rings = CHOSEN_RINGS, ...options }: OwnDevice): NamedCase[] {
  return rings.flatMap(({ name: ring, offer: bits }) =>
    deviceCases.map((deviceCase) => ({
      name: `${deviceCase.name} (${ring})`,
      whyNot: whyNotOurs(deviceCase, way !== 'direct'),
      prepare: async (): Promise<CheckCase> => {
        const wanted = [...bits, ...(deviceCase.features ?? [])];
        const offer = wanted.filter((bit) => bit >= FIRST_GENERIC && !UNASKED.includes(bit));
        // What a case is about is not declined.
        const declined = declinedFor(wanted);
        const vectors = way === 'pci' && ring === MESSAGES.ring ? MESSAGES.vectors : 0;
        const bench = await makeBench({ ...options, way, device: { offer }, type: deviceCase.type, vectors, declined });
        return { trace: bench.trace, run: () => runDeviceCase(deviceCase, bench) };
      },
    })),
  );
}
