import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { type Command, Option } from 'commander';
import type { OnProgress } from '../../machine/progress.ts';
import { Judge } from '../../monitor/judge.ts';
import { PerfettoExport } from '../../monitor/perfetto.ts';
import { rules } from '../../monitor/rules.ts';
import type { TextVersion } from '../../monitor/trace.ts';
import { TraceReader } from '../../monitor/trace-format.ts';
import { TransportError } from '../../spec/fault.ts';
import { fileName } from '../argument.ts';
import { ExitCode } from '../exit-code.ts';
import { requireWritable } from '../output-file.ts';
import { withProgress } from '../progress.ts';
import { type JsonTarget, writeReport } from '../report.ts';
import { junit } from './junit.ts';
import { save } from './output.ts';
import { count, ruleReport, type TraceReport } from './verdict-report.ts';
import { traceTable } from './verdict-table.ts';

/** From which size on a trace takes a second or more. */
const LARGE_BYTES = 4 << 20;
const LINES_BETWEEN = 1000;

interface TraceOptions {
  readonly text?: TextVersion;
  readonly json?: JsonTarget;
  readonly junit?: string;
  readonly perfetto?: string;
}

export function traceCommand(check: Command): void {
  check
    .command('trace')
    .argument('<file>', 'a trace: JSON lines')
    .description('judge a recording')
    .addOption(
      new Option('--text <version>', 'the text to judge by: that of the trace, or else 1.4').choices(['v1', '1.4']),
    )
    .option('--json [file]', 'write the report as JSON (standard output without a file)', fileName)
    .option('--junit <file>', 'write the report as JUnit XML', fileName)
    .option('--perfetto <file>', 'write the trace for ui.perfetto.dev', fileName)
    .addHelpText(
      'after',
      `
Exit code: 0 when no MUST is broken and every line makes sense, else 1; warnings are for what SHOULD be.`,
    )
    .action(judgeFile);
}

async function judgeFile(file: string, options: TraceOptions): Promise<void> {
  const { json, perfetto } = options;
  for (const path of [json, options.junit, perfetto]) if (typeof path === 'string') await requireWritable(path);
  const { report, picture } = await readWithProgress(file, options);
  await writeReport(json, report);
  if (options.junit !== undefined) await save(options.junit, junit(`virtio check trace ${file}`, report));
  if (perfetto !== undefined) await save(perfetto, JSON.stringify(picture?.end()));
  if (json !== true) process.stdout.write(`${traceTable(report)}\n`);
  process.exitCode = report.ok ? ExitCode.OK : ExitCode.FAILED;
}

interface Read {
  readonly report: TraceReport;
  readonly picture: PerfettoExport | undefined;
}

/** A file of some size takes time, and it is shown how far it is. */
async function readWithProgress(file: string, options: TraceOptions): Promise<Read> {
  const bytes = await stat(file).then(
    ({ size }) => size,
    () => 0,
  );
  if (bytes < LARGE_BYTES) return readTrace(file, options);
  return withProgress(`The trace ${file}`, (onProgress) => readTrace(file, options, { bytes, onProgress }));
}

/** Judges a file line by line; only its picture, if one is wanted, is kept. */
async function readTrace(
  file: string,
  { text, perfetto }: TraceOptions,
  progress?: { readonly bytes: number; readonly onProgress: OnProgress },
): Promise<Read> {
  const reader = new TraceReader();
  let judge: Judge | undefined;
  let picture: PerfettoExport | undefined;
  const input = createReadStream(file, 'utf8');
  try {
    for await (const line of createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY })) {
      const event = reader.read(line);
      if (progress !== undefined && reader.line % LINES_BETWEEN === 0) {
        const fraction = Math.min(1, input.bytesRead / progress.bytes);
        progress.onProgress({ name: 'judged', detail: `line ${reader.line}`, fraction });
        // A spinner turns only when somebody lets it.
        await new Promise<void>((resolve) => setImmediate(resolve));
      }
      if (reader.header !== undefined && judge === undefined) {
        judge = new Judge(reader.header, rules, text);
        if (perfetto !== undefined) picture = new PerfettoExport(reader.header);
      }
      if (event === undefined) continue;
      judge!.follow(event, reader.line);
      picture?.follow(event, reader.line);
    }
  } catch (cause) {
    throw new TransportError(`cannot read the trace ${file}: ${(cause as Error).message}`, { cause });
  }
  const { header, bad, line } = reader;
  if (judge === undefined || header === undefined) {
    const why = bad[0] === undefined ? 'it is empty' : `line ${bad[0].line}: ${bad[0].message}`;
    throw new TransportError(`${file} is no trace: ${why}`);
  }
  const found = judge.end().map(ruleReport);
  const ok = bad.length === 0 && count(found, 'fail') === 0;
  return { report: { ok, text: text ?? header.text ?? '1.4', lines: line, badLines: bad, rules: found }, picture };
}
