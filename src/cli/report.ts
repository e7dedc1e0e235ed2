import { writeFile } from 'node:fs/promises';
import { TransportError } from '../spec/fault.ts';

/** `--json`: undefined when it was not given, true for standard output, or a file. */
export type JsonTarget = string | true | undefined;

/**
 * Writes a report where `--json` wants it. Where that is standard output, nothing else is to be written there. Throws
 * TransportError when the file cannot be written.
 */
export async function writeReport(target: JsonTarget, report: unknown): Promise<void> {
  if (target === undefined) return;
  const text = `${JSON.stringify(report, null, 2)}\n`;
  if (target === true) process.stdout.write(text);
  else
    await writeFile(target, text).catch((cause: Error) => {
      throw new TransportError(`cannot write the report to ${target}: ${cause.message}`, { cause });
    });
}
