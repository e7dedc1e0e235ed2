/**
 * Debian packages of another architecture, without root and without a trace in the system's own apt state: the machine's
 * configured sources, but lists, archives and package status in a folder of our own.
 */
import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { TransportError } from '../spec/fault.ts';
import type { OnProgress } from './progress.ts';
import { ProgramMissing, runProgram } from './run-program.ts';

export interface DebianPackage {
  readonly name: string;
  readonly version: string;
  /** The .deb file. */
  readonly file: string;
}

/** apt for one architecture, with its state in `folder`. */
export class AptPackages {
  readonly #folder: string;
  readonly #architecture: string;
  readonly #onProgress: OnProgress | undefined;
  #updateError: Error | undefined;

  constructor(folder: string, architecture: string, onProgress?: OnProgress) {
    this.#folder = folder;
    this.#architecture = architecture;
    this.#onProgress = onProgress;
  }

  /**
   * Reads the lists of all sources. That one source fails does no harm if the others have what is wanted, so the failure
   * is only kept for the message of a later one.
   */
  async update(): Promise<void> {
    const state = ['lists/partial', 'archives/partial', 'packages'];
    for (const name of state) await mkdir(join(this.#folder, name), { recursive: true });
    await writeFile(join(this.#folder, 'status'), '');
    await writeFile(join(this.#folder, 'apt.conf'), configuration(this.#folder, this.#architecture));
    await this.#run('apt-get', ['update'], { step: 'reading package lists' }).catch((error: Error) => {
      if (error instanceof ProgramMissing) throw error;
      this.#updateError = error;
    });
  }

  /** The names that `name`, or `name=version`, depends on; versions and alternatives left out. */
  async dependencies(name: string): Promise<string[]> {
    const record = await this.#run('apt-cache', ['show', '--no-all-versions', name]);
    const field = /^Depends: *(.*)$/m.exec(record)?.[1] ?? '';
    return field.split(',').flatMap((entry) => /^\s*([^\s(|:]+)/.exec(entry)?.[1] ?? []);
  }

  /** The version that would be downloaded. */
  async version(name: string): Promise<string> {
    const record = await this.#run('apt-cache', ['show', '--no-all-versions', name]);
    const version = /^Version: *(\S+)/m.exec(record)?.[1];
    if (version === undefined) throw new TransportError(`apt-cache knows no version of ${name}`);
    return version;
  }

  /** Downloads packages, not what they depend on; of `name=version` that version. */
  async download(names: readonly string[]): Promise<DebianPackage[]> {
    const folder = join(this.#folder, 'packages');
    await this.#run('apt-get', ['download', ...names], {
      step: 'downloading packages',
      detail: names.join(', '),
      folder,
    });
    const packages: DebianPackage[] = [];
    for (const entry of await readdir(folder)) {
      if (!entry.endsWith('.deb')) continue;
      const file = join(folder, entry);
      const fields = await runProgram('dpkg-deb', ['--field', file, 'Package', 'Version']);
      const [name = '', version = ''] = fields.split('\n').map((line) => line.replace(/^\w+: /, ''));
      packages.push({ name, version, file });
    }
    for (const name of names) {
      const [wanted] = name.split('=');
      if (!packages.some((entry) => entry.name === wanted))
        throw new TransportError(`apt-get did not download ${name}`);
    }
    return packages;
  }

  async #run(
    program: string,
    args: readonly string[],
    options: { step?: string; detail?: string; folder?: string } = {},
  ): Promise<string> {
    const { step, detail } = options;
    const report = (fraction: number): void => {
      if (step !== undefined) this.#onProgress?.({ name: step, ...(detail === undefined ? {} : { detail }), fraction });
    };
    report(0);
    try {
      const config = ['-c', join(this.#folder, 'apt.conf'), ...(step === undefined ? [] : ['-o', 'APT::Status-Fd=3'])];
      return await runProgram(program, [...config, ...args], {
        ...(options.folder === undefined ? {} : { folder: options.folder }),
        onStatusLine: (line) => {
          const percent = /^dlstatus:[^:]*:([0-9.]+):/.exec(line)?.[1];
          if (percent !== undefined) report(Number(percent) / 100);
        },
      });
    } catch (error) {
      if (error instanceof ProgramMissing || this.#updateError === undefined) throw error;
      throw new TransportError(`${(error as Error).message}\nbefore that, ${this.#updateError.message}`, {
        cause: error,
      });
    }
  }
}

/** Unpacks all files of a package into `folder`. */
export async function unpackPackage(file: string, folder: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  await runProgram('dpkg-deb', ['-x', file, folder]);
}

/** Read by apt after its own files: what the machine's administrator set stays, but for the hooks, which act on the system. */
function configuration(folder: string, architecture: string): string {
  return `#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear APT::Architectures;
APT::Architecture "${architecture}";
APT::Architectures { "${architecture}"; };
APT::Sandbox::User "root";
Acquire::Check-Valid-Until "false";
Acquire::Languages "none";
Acquire::Retries "2";
Dir::State "${folder}";
Dir::State::Lists "${folder}/lists";
Dir::State::status "${folder}/status";
Dir::Cache "${folder}";
Dir::Cache::archives "${folder}/archives";
`;
}
