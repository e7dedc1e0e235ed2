import { fork } from 'node:child_process';
import type { OnProgress } from '../../machine/progress.ts';
import { TransportError } from '../../spec/fault.ts';
import { onSignal } from '../signals.ts';
import type { PhaseInput, PhaseMessage } from './guest-report.ts';

/** Runs a phase in a process of its own, and waits until that process has ended. */
export function runPhase<Report>(input: PhaseInput, name: string, onProgress: OnProgress): Promise<Report> {
  return new Promise((resolve, reject) => {
    const child = fork(new URL('./guest-phase.js', import.meta.url), { stdio: ['ignore', 'inherit', 'pipe', 'ipc'] });
    const stopWatching = onSignal(() => child.kill('SIGKILL'));
    let report: Report | undefined;
    let complaints = '';
    child.stderr?.on('data', (text: Buffer) => {
      complaints += text.toString();
    });
    child.on('message', (message: PhaseMessage<Report>) => {
      if (message.kind === 'report') report = message.report;
      else onProgress({ name, detail: message.text });
    });
    child.on('error', (cause) =>
      reject(new TransportError(`the ${name} could not be started: ${cause.message}`, { cause })),
    );
    child.on('close', (code, signal) => {
      stopWatching();
      if (code === 0 && report !== undefined) resolve(report);
      else reject(new TransportError(`the ${name} ended with ${signal ?? code}: ${complaints.trim()}`));
    });
    child.send(input);
  });
}
