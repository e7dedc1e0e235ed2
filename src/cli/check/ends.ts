import { Argument, type Command, Option } from 'commander';
import type { Role, TextVersion } from '../../monitor/trace.ts';
import { Feature } from '../../spec/features.ts';
import { fileName } from '../guest-options.ts';
import { withProgress } from '../progress.ts';
import { driverCases, prepareDriverCase } from './driver-cases.ts';
import { type OutputOptions, prepareOutput, writeCheck } from './output.ts';
import { type CheckCase, type NamedCase, runCases } from './run-cases.ts';

/** What a device offers, or a driver accepts, to have each kind of ring. */
export const RINGS: readonly { readonly name: string; readonly offer: readonly number[] }[] = [
  { name: 'split', offer: [] },
  { name: 'packed', offer: [Feature.RING_PACKED] },
  { name: 'split, in order', offer: [Feature.IN_ORDER] },
];

/** Longer than any case takes. */
const LIMIT_MS = 60_000;

export interface CaseOptions extends OutputOptions {
  readonly text: TextVersion;
}

export function driverCommand(check: Command): void {
  const command = check
    .command('driver')
    .addArgument(new Argument('<way>', 'how the driver reaches its device').choices(['loopback']))
    .description('play the device, lawful or failing, and judge the block driver of this project');
  addCheckOptions(command).action(checkDriver);
}

export function addCheckOptions(command: Command): Command {
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

async function checkDriver(way: string, options: CaseOptions): Promise<void> {
  const cases = RINGS.flatMap(({ name: ring, offer }) =>
    driverCases.map((driverCase) => ({
      name: `${driverCase.name} (${ring})`,
      prepare: async (): Promise<CheckCase> => prepareDriverCase(driverCase, offer),
    })),
  );
  await check({ role: 'driver', way, title: `The block driver over ${way}`, limitMs: LIMIT_MS }, cases, options);
}

interface Subject {
  readonly role: Role;
  readonly way: string;
  /** For people. */
  readonly title: string;
  /** How long it may take for one case. */
  readonly limitMs: number;
}

export async function check(
  { role, way, title, limitMs }: Subject,
  cases: readonly NamedCase[],
  options: CaseOptions,
): Promise<void> {
  await prepareOutput(options);
  const report = await withProgress(title, (onProgress) =>
    runCases(cases, {
      role,
      text: options.text,
      limitMs,
      onCase: (name, fraction) => onProgress({ name: 'cases', detail: name, fraction }),
    }),
  );
  await writeCheck(`virtio check ${role} ${way}`, report, options);
}
