import { Argument, type Command, Option } from 'commander';
import type { TextVersion, TraceTransport } from '../../monitor/trace.ts';
import { Feature } from '../../spec/features.ts';
import { fileName } from '../guest-options.ts';
import { withProgress } from '../progress.ts';
import type { JsonTarget } from '../report.ts';
import { makeBench } from './bench.ts';
import { deviceCases, runDeviceCase } from './device-cases.ts';
import { prepareOutput, writeCheck } from './output.ts';
import { type CheckCase, runCases } from './run-cases.ts';

/** The command line's names of the ways to a device of ours. */
const WAYS: Readonly<Record<string, TraceTransport>> = { loopback: 'direct', pci: 'pci', mmio: 'mmio' };

const RINGS = [
  { name: 'split', offer: [] },
  { name: 'packed', offer: [Feature.RING_PACKED] },
  { name: 'split, in order', offer: [Feature.IN_ORDER] },
] as const;

interface DeviceCheckOptions {
  readonly text: TextVersion;
  readonly json?: JsonTarget;
  readonly junit?: string;
  readonly traces?: string;
}

export function deviceCommand(check: Command): void {
  check
    .command('device')
    .addArgument(new Argument('<way>', 'how to reach the device').choices(Object.keys(WAYS)))
    .description('play the driver, and judge the block device of this project')
    .addOption(new Option('--text <version>', 'the text to judge by').choices(['v1', '1.4']).default('1.4'))
    .option('--json [file]', 'write the report as JSON (standard output without a file)', fileName)
    .option('--junit <file>', 'write the report as JUnit XML', fileName)
    .option('--traces <folder>', 'keep the trace of each case, for virtio check trace', fileName)
    .addHelpText(
      'after',
      `
Exit code: 0 when every case comes out as it has to and no MUST is broken, else 1.`,
    )
    .action(checkDevice);
}

async function checkDevice(way: string, options: DeviceCheckOptions): Promise<void> {
  await prepareOutput(options);
  const cases = RINGS.flatMap(({ name: ring, offer }) =>
    deviceCases.map((deviceCase) => ({
      name: `${deviceCase.name} (${ring})`,
      prepare: async (): Promise<CheckCase> => {
        const bench = await makeBench(WAYS[way]!, { offer });
        return { name: deviceCase.name, trace: bench.trace, run: () => runDeviceCase(deviceCase, bench) };
      },
    })),
  );
  const report = await withProgress(`The block device over ${way}`, (onProgress) =>
    runCases(cases, {
      role: 'device',
      text: options.text,
      onCase: (name, fraction) => onProgress({ name: 'cases', detail: name, fraction }),
    }),
  );
  await writeCheck(`virtio check device ${way}`, report, options);
}
