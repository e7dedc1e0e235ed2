import { type Command, Option } from 'commander';
import type { OnProgress } from '../../machine/progress.ts';
import type { Role, TextVersion } from '../../monitor/trace.ts';
import { Feature } from '../../spec/features.ts';
import { fileName } from '../argument.ts';
import { withProgress } from '../progress.ts';
import { type OutputOptions, prepareOutput, writeCheck } from './output.ts';
import { type CheckReport, type NamedCase, runCases } from './run-cases.ts';

/** What a device offers to have each kind of ring. */
export const RINGS: readonly { readonly name: string; readonly offer: readonly number[] }[] = [
  { name: 'split', offer: [] },
  { name: 'packed', offer: [Feature.RING_PACKED] },
  { name: 'split, in order', offer: [Feature.IN_ORDER] },
];

/** Rings as a driver by hand may choose them: one kind has its chains in tables. */
export const CHOSEN_RINGS: typeof RINGS = [...RINGS, { name: 'split, indirect', offer: [Feature.INDIRECT_DESC] }];

const CHOICES = [Feature.RING_PACKED, Feature.IN_ORDER, Feature.INDIRECT_DESC];

/** What a driver does not accept where it is to have one kind of ring. */
export function declinedFor(ring: readonly number[]): readonly number[] {
  return CHOICES.filter((bit) => !ring.includes(bit));
}

export interface CaseOptions extends OutputOptions {
  readonly text: TextVersion;
}

export function addCheckOptions(command: Command): Command {
  return command
    .addOption(new Option('--text <version>', 'the text to judge by').choices(['v1', '1.4']).default('1.4'))
    .option('--json [file]', 'write the report as JSON (standard output without a file)', fileName)
    .option('--junit <file>', 'write the report as JUnit XML', fileName)
    .option('--traces <folder>', 'keep the trace of each case, for virtio check trace', fileName)
    .option('--perfetto <folder>', 'write the trace of each case for ui.perfetto.dev', fileName)
    .addHelpText(
      'after',
      `
Exit code: 0 when every case comes out as it has to and no MUST is broken, else 1.`,
    );
}

interface Subject {
  readonly role: Role;
  readonly way: string;
  /** For people. */
  readonly title: string;
  /** How long it may take for one case. */
  readonly limitMs: number;
  /** What has to be there while the cases run. */
  readonly around?: (run: () => Promise<CheckReport>, onProgress: OnProgress) => Promise<CheckReport>;
}

export async function check(
  { role, way, title, limitMs, around = (run) => run() }: Subject,
  cases: readonly NamedCase[],
  options: CaseOptions,
): Promise<void> {
  await prepareOutput(options);
  const report = await withProgress(title, (onProgress) => {
    const onCase = (name: string, fraction: number): void => onProgress({ name: 'cases', detail: name, fraction });
    return around(() => runCases(cases, { role, text: options.text, limitMs, onCase }), onProgress);
  });
  await writeCheck(`virtio check ${role} ${way}`, report, options);
}
