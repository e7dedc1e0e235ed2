import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { PerfettoExport } from '../../monitor/perfetto.ts';
import { TraceReader } from '../../monitor/trace-format.ts';
import { TransportError } from '../../spec/fault.ts';
import { ExitCode } from '../exit-code.ts';
import { requireWritable } from '../output-file.ts';
import { type JsonTarget, writeReport } from '../report.ts';
import { makeTable } from '../table.ts';
import { junit } from './junit.ts';
import type { CaseReport, CheckReport } from './run-cases.ts';
import { problems, rulesTable, summary } from './verdict-table.ts';

export interface OutputOptions {
  readonly json?: JsonTarget;
  readonly junit?: string;
  readonly traces?: string;
  readonly perfetto?: string;
}

/** Throws before any work is done when a report could not be written in the end. */
export async function prepareOutput({ json, junit: xml, traces, perfetto }: OutputOptions): Promise<void> {
  for (const path of [json, xml]) if (typeof path === 'string') await requireWritable(path);
  for (const folder of [traces, perfetto]) {
    if (folder === undefined) continue;
    await mkdir(folder, { recursive: true }).catch((cause: Error) => {
      throw new TransportError(`cannot make the folder ${folder}: ${cause.message}`, { cause });
    });
  }
}

/** Shows a report in every form that is asked for, and sets the exit code. */
export async function writeCheck(title: string, report: CheckReport, options: OutputOptions): Promise<void> {
  const { ok, text, cases, rules } = report;
  const plain = { ok, text, cases: cases.map(({ trace: _, ...rest }) => rest), rules };
  await writeReport(options.json, plain);
  if (options.junit !== undefined) await save(options.junit, junit(title, { rules, cases }));
  if (options.traces !== undefined) {
    await saveEach(options.traces, cases, 'jsonl', (trace) => `${trace.join('\n')}\n`);
  }
  if (options.perfetto !== undefined) {
    await saveEach(options.perfetto, cases, 'json', (trace) => JSON.stringify(pictureOf(trace)));
  }
  if (options.json !== true) process.stdout.write(`${checkTable(report)}\n`);
  process.exitCode = ok ? ExitCode.OK : ExitCode.FAILED;
}

export async function save(file: string, text: string): Promise<void> {
  await writeFile(file, text).catch((cause: Error) => {
    throw new TransportError(`cannot write ${file}: ${cause.message}`, { cause });
  });
}

/** A file for each case that was run. */
async function saveEach(
  folder: string,
  cases: readonly CaseReport[],
  ending: string,
  textOf: (trace: readonly string[]) => string,
): Promise<void> {
  for (const [index, { trace }] of cases.entries()) {
    if (trace.length > 0) await save(join(folder, `${traceName(index)}.${ending}`), textOf(trace));
  }
}

/** For a trace of our own, whose lines make sense. */
function pictureOf(trace: readonly string[]): ReturnType<PerfettoExport['end']> {
  const reader = new TraceReader();
  let picture: PerfettoExport | undefined;
  for (const line of trace) {
    const event = reader.read(line);
    if (event !== undefined) picture!.follow(event, reader.line);
    else if (reader.header !== undefined) picture ??= new PerfettoExport(reader.header);
  }
  return picture!.end();
}

function traceName(index: number): string {
  return `case-${String(index + 1).padStart(3, '0')}`;
}

function checkTable({ cases, rules, text }: CheckReport): string {
  const table = makeTable(['case', 'name', 'result']);
  for (const [index, { name, result }] of cases.entries()) table.push([traceName(index), name, result]);
  const wrong = cases.flatMap(({ name, result, message, broken }, index) => {
    if (result === 'not exercised') return [];
    const what = [...(message === undefined ? [] : [`    ${message}`]), ...broken.flatMap(problems)];
    return what.length === 0 ? [] : [`${traceName(index)}, ${name}:`, ...what];
  });
  const failed = cases.filter(({ result }) => result === 'fail').length;
  const skipped = notExercised(cases);
  const counts = [`${cases.length} cases`, `${failed} failed`, ...skipped.counts].join(', ');
  return [table.toString(), rulesTable(rules), ...skipped.reasons, ...wrong, summary(rules, counts, text)].join('\n');
}

/** How many cases were not run, and for which reasons. */
function notExercised(cases: readonly CaseReport[]): { readonly counts: string[]; readonly reasons: string[] } {
  const byReason = new Map<string, number>();
  for (const { result, message } of cases) {
    if (result === 'not exercised') byReason.set(message!, (byReason.get(message!) ?? 0) + 1);
  }
  const total = [...byReason.values()].reduce((sum, one) => sum + one, 0);
  const reasons = [...byReason].map(([reason, one]) => `not exercised: ${one} of ${cases.length} cases, as ${reason}`);
  return { counts: total === 0 ? [] : [`${total} not exercised`], reasons };
}
