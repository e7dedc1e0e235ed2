import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { expect, it } from 'vitest';
import { writeFileAtomically } from '../../../src/machine/atomic-file.ts';
import { readSavedMachine, writeSavedMachine } from '../../../src/machine/saved-machine.ts';
import { temporaryFolder } from './temporary-folder.ts';

const folder = temporaryFolder();
const source = join(import.meta.dirname, '../../../src');

/** Another process that runs `code` with the compiled module `name`; Node 20 does not read TypeScript. */
function run(name: string, code: string): ChildProcess {
  const out = folder.path('compiled');
  const compiler = join(dirname(createRequire(import.meta.url).resolve('typescript/package.json')), 'bin/tsc');
  const options =
    '--ignoreConfig --noCheck --target es2023 --module nodenext --types node --rewriteRelativeImportExtensions';
  const project = ['--rootDir', source, '--outDir', out, join(source, 'machine', `${name}.ts`)];
  execFileSync(process.execPath, [compiler, ...options.split(' '), ...project]);
  writeFileSync(join(out, 'package.json'), '{"type":"module"}');
  const module = pathToFileURL(join(out, 'machine', `${name}.js`)).href;
  const program = `const module = await import(${JSON.stringify(module)});${code}`;
  return spawn(process.execPath, ['--input-type=module', '--eval', program], { stdio: ['ignore', 'pipe', 'inherit'] });
}

async function kill(child: ChildProcess): Promise<void> {
  const ended = once(child, 'exit');
  child.kill('SIGKILL');
  await ended;
}

function temporaryFiles(): string[] {
  return readdirSync(folder.path()).filter((name) => name.endsWith('.tmp'));
}

it('a process that is killed in the middle of a file leaves the former one, and its half is cleared away', async () => {
  const path = folder.path('saved');
  writeFileSync(path, 'the former file');
  const child = run(
    'atomic-file',
    `await module.writeFileAtomically(${JSON.stringify(path)}, (async function* () {
      yield new Uint8Array(1 << 20);
      console.log('in the middle');
      await new Promise((resolve) => setTimeout(resolve, 60_000));
    })());`,
  );
  await once(child.stdout!, 'data');
  expect(temporaryFiles().length).toBe(1);
  await kill(child);
  expect(readFileSync(path, 'utf8')).toBe('the former file');
  expect(temporaryFiles().length).toBe(1);
  await writeFileAtomically(path, [Buffer.from('the next file')]);
  expect(readFileSync(path, 'utf8')).toBe('the next file');
  expect(temporaryFiles()).toEqual([]);
});

it('whenever a process that saves over and over is killed, the file is whole', async () => {
  const path = folder.path('saved');
  const description = { versions: {}, memoryBytes: 0, devices: [], disks: [] };
  const bytes = 3_000_000;
  await writeSavedMachine(path, { description, sections: new Map([['round', new Uint8Array(bytes)]]) });
  const rounds = new Set<number>();
  for (const delayMs of [3, 17, 41, 60, 83]) {
    const child = run(
      'saved-machine',
      `const { randomFillSync } = await import('node:crypto');
      for (let round = 1; ; round++) {
        const bytes = randomFillSync(new Uint8Array(${bytes})).fill(round, 0, 1000);
        const description = ${JSON.stringify(description)};
        await module.writeSavedMachine(${JSON.stringify(path)}, { description, sections: new Map([['round', bytes]]) });
        console.log(round);
      }`,
    );
    await once(child.stdout!, 'data');
    await new Promise((resolve) => setTimeout(resolve, delayMs));
    await kill(child);
    const section = (await readSavedMachine(path)).sections.get('round')!;
    expect(section.length).toBe(bytes);
    expect(new Set(section.subarray(0, 1000)).size).toBe(1);
    rounds.add(section[0]!);
  }
  expect(rounds.has(0)).toBe(false);
  await writeSavedMachine(path, { description, sections: new Map() });
  expect(temporaryFiles()).toEqual([]);
}, 30_000);
