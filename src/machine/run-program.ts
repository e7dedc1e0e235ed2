import { spawn } from 'node:child_process';
import type { Readable } from 'node:stream';
import { StringDecoder } from 'node:string_decoder';
import { TransportError } from '../spec/fault.ts';

export interface RunOptions {
  readonly folder?: string;
  readonly environment?: NodeJS.ProcessEnv;
  /** Called with each line that the program writes to its file descriptor 3. */
  readonly onStatusLine?: (line: string) => void;
}

/** The program is not on this machine. */
export class ProgramMissing extends TransportError {
  readonly program: string;

  constructor(program: string) {
    super(`the program ${program} is not on this machine`);
    this.name = 'ProgramMissing';
    this.program = program;
  }
}

/**
 * Runs a program to its end; resolves to its standard output. Rejects with ProgramMissing, or with TransportError that
 * shows the last lines the program wrote when it failed.
 */
export function runProgram(program: string, args: readonly string[], options: RunOptions = {}): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      cwd: options.folder,
      env: { ...process.env, LC_ALL: 'C', ...options.environment },
      stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
    });
    const [, stdout, stderr, status] = child.stdio as unknown as [null, Readable, Readable, Readable];
    let output = '';
    const last: string[] = [];
    const remember = (line: string): void => {
      if (line.trim() !== '') last.push(line);
      if (last.length > 12) last.shift();
    };
    stdout.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
    eachLine(stdout, remember);
    eachLine(stderr, remember);
    eachLine(status, (line) => options.onStatusLine?.(line));
    child.on('error', (error: NodeJS.ErrnoException) => {
      reject(
        error.code === 'ENOENT' ? new ProgramMissing(program) : new TransportError(`${program}: ${error.message}`),
      );
    });
    child.on('close', (code, signal) => {
      if (code === 0) resolve(output);
      else reject(new TransportError(`${program} failed (${signal ?? `exit code ${code}`}):\n  ${last.join('\n  ')}`));
    });
  });
}

function eachLine(stream: Readable, take: (line: string) => void): void {
  const decoder = new StringDecoder('utf8');
  let rest = '';
  stream.on('data', (data: Buffer | string) => {
    const lines = (rest + (typeof data === 'string' ? data : decoder.write(data))).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) take(line);
  });
  stream.on('end', () => {
    if (rest !== '') take(rest);
  });
}
