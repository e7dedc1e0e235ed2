/** Kernel modules in an unpacked kernel package: which files, in which order. The package has no modules.dep yet. */
import { readdir, readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { TransportError } from '../spec/fault.ts';
import { runProgram } from './run-program.ts';

export interface KernelModule {
  /** With underscores, as in /sys/module. */
  readonly name: string;
  /** Where the guest has it below /lib/modules, without ".ko". */
  readonly place: string;
  /** The object file, not compressed. */
  readonly object: Uint8Array;
}

interface ModuleFile {
  readonly file: string;
  readonly place: string;
}

/** All modules below a folder such as lib/modules/VERSION. */
export class KernelModules {
  readonly #files: ReadonlyMap<string, ModuleFile>;
  /** Names of those that the kernel itself has: a kernel of another flavour has others. */
  readonly #builtIn: ReadonlySet<string>;
  readonly #loaded = new Map<string, KernelModule>();

  private constructor(files: ReadonlyMap<string, ModuleFile>, builtIn: ReadonlySet<string>) {
    this.#files = files;
    this.#builtIn = builtIn;
  }

  static async in(folder: string): Promise<KernelModules> {
    return new KernelModules(await moduleFiles(folder, ''), await builtInModules(folder));
  }

  /** These modules, but those of `folder` instead where it has one; the guest has them below `place`. */
  async replacedBy(folder: string, place: string): Promise<KernelModules> {
    return new KernelModules(new Map([...this.#files, ...(await moduleFiles(folder, `${place}/`))]), this.#builtIn);
  }

  /** The modules `names` and what they need, each after what it needs. Throws TransportError when one is not there. */
  async inLoadOrder(names: readonly string[]): Promise<KernelModule[]> {
    const order: KernelModule[] = [];
    const visit = async (name: string): Promise<void> => {
      if (this.#builtIn.has(name) || order.some((module) => module.name === name)) return;
      const module = await this.#load(name);
      for (const needed of neededBy(module.object)) await visit(needed);
      if (!order.includes(module)) order.push(module);
    };
    for (const name of names) await visit(moduleName(name));
    return order;
  }

  async #load(name: string): Promise<KernelModule> {
    const known = this.#loaded.get(name);
    if (known !== undefined) return known;
    const found = this.#files.get(name);
    if (found === undefined) throw new TransportError(`the kernel package has no module ${name}`);
    const module = { name, place: found.place, object: await readObject(found.file) };
    this.#loaded.set(name, module);
    return module;
  }
}

async function moduleFiles(folder: string, prefix: string): Promise<Map<string, ModuleFile>> {
  const files = new Map<string, ModuleFile>();
  for (const path of await readdir(folder, { recursive: true })) {
    const name = /^(.*)\.ko(\.xz|\.gz)?$/.exec(basename(path))?.[1];
    if (name === undefined) continue;
    files.set(moduleName(name), { file: join(folder, path), place: `${prefix}${moduleName(name)}` });
  }
  return files;
}

/** From the list that comes with the kernel. */
async function builtInModules(folder: string): Promise<Set<string>> {
  const list = await readFile(join(folder, 'modules.builtin'), 'utf8').catch(() => '');
  return new Set([...list.matchAll(/([^/\n]+)\.ko$/gm)].map(([, name]) => moduleName(name!)));
}

/** What a module's own description says that it depends on. */
export function neededBy(object: Uint8Array): string[] {
  const text = Buffer.from(object.buffer, object.byteOffset, object.length);
  const key = 'depends=';
  for (let at = text.indexOf(key); at >= 0; at = text.indexOf(key, at + 1)) {
    // The description is a list of NUL-terminated strings; the key begins one of them.
    if (at > 0 && text[at - 1] !== 0) continue;
    const value = text.toString('latin1', at + key.length, text.indexOf(0, at));
    if (/^[\w,-]*$/.test(value))
      return value
        .split(',')
        .filter((name) => name !== '')
        .map(moduleName);
  }
  return [];
}

async function readObject(file: string): Promise<Uint8Array> {
  if (file.endsWith('.gz')) return gunzipSync(await readFile(file));
  if (!file.endsWith('.xz')) return readFile(file);
  await runProgram('xz', ['--decompress', '--keep', '--force', file]);
  return readFile(file.slice(0, -'.xz'.length));
}

function moduleName(name: string): string {
  return name.replaceAll('-', '_');
}
