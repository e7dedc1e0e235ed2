import { Argument, type Command, Option } from 'commander';
import type { Role, TextVersion, TraceTransport } from '../../monitor/trace.ts';
import { Feature } from '../../spec/features.ts';
import { fileName } from '../guest-options.ts';
import { withProgress } from '../progress.ts';
import { makeBench } from './bench.ts';
import { deviceCases, runDeviceCase } from './device-cases.ts';
import { driverCases, prepareDriverCase } from './driver-cases.ts';
import { type OutputOptions, prepareOutput, writeCheck } from './output.ts';
import { type CheckCase, type NamedCase, runCases } from './run-cases.ts';

/** The command line's names of the ways to a device of ours. */
const WAYS: Readonly<Record<string, TraceTransport>> = { loopback: 'direct', pci: 'pci', mmio: 'mmio' };

/** What is judged, for people. */
const SUBJECTS: Readonly<Record<Role, string>> = { device: 'The devices', driver: 'The block driver' };

const RINGS = [
  { name: 'split', offer: [] },
  { name: 'packed', offer: [Feature.RING_PACKED] },
  { name: 'split, in order', offer: [Feature.IN_ORDER] },
] as const;

interface CaseOptions extends OutputOptions {
  readonly text: TextVersion;
}

export function deviceCommand(check: Command): void {
  const command = check
    .command('device')
    .addArgument(new Argument('<way>', 'how to reach the device').choices(Object.keys(WAYS)))
    .description(
      'play the driver, and judge the devices of this project: block, and where buffers wait console, entropy and network',
    );
  addCheckOptions(command).action(checkDevice);
}

export function driverCommand(check: Command): void {
  const command = check
    .command('driver')
    .addArgument(new Argument('<way>', 'how the driver reaches its device').choices(['loopback']))
    .description('play the device, lawful or failing, and judge the block driver of this project');
  addCheckOptions(command).action(checkDriver);
}

function addCheckOptions(command: Command): Command {
  return command
    .addOption(new Option('--text <version>', 'the text to judge by').choices(['v1', '1.4']).default('1.4'))
    .option('--json [file]', 'write the report as JSON (standard output without a file)', fileName)
    .option('--junit <file>', 'write the report as JUnit XML', fileName)
    .option('--traces <folder>', 'keep the trace of each case, for virtio check trace', fileName)
    .addHelpText(
      'after',
      `
Exit code: 0 when every case comes out as it has to and no MUST is broken, else 1.`,
    );
}

async function checkDevice(way: string, options: CaseOptions): Promise<void> {
  const cases = RINGS.flatMap(({ name: ring, offer }) =>
    deviceCases.map((deviceCase) => ({
      name: `${deviceCase.name} (${ring})`,
      prepare: async (): Promise<CheckCase> => {
        const offers = [...offer, ...(deviceCase.features ?? [])];
        const bench = await makeBench(WAYS[way]!, { offer: offers }, deviceCase.type);
        return { trace: bench.trace, run: () => runDeviceCase(deviceCase, bench) };
      },
    })),
  );
  await check('device', way, cases, options);
}

async function checkDriver(way: string, options: CaseOptions): Promise<void> {
  const cases = RINGS.flatMap(({ name: ring, offer }) =>
    driverCases.map((driverCase) => ({
      name: `${driverCase.name} (${ring})`,
      prepare: async (): Promise<CheckCase> => prepareDriverCase(driverCase, offer),
    })),
  );
  await check('driver', way, cases, options);
}

async function check(role: Role, way: string, cases: readonly NamedCase[], options: CaseOptions): Promise<void> {
  await prepareOutput(options);
  const report = await withProgress(`${SUBJECTS[role]} over ${way}`, (onProgress) =>
    runCases(cases, {
      role,
      text: options.text,
      onCase: (name, fraction) => onProgress({ name: 'cases', detail: name, fraction }),
    }),
  );
  await writeCheck(`virtio check ${role} ${way}`, report, options);
}
