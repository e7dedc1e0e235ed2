/**
 * Kernel modules that suspend virtio devices (VIRTIO_F_SUSPEND), made for a kernel of Debian: its own drivers with the
 * insertions of contrib/linux, built against its headers.
 */
import { createHash } from 'node:crypto';
import { copyFile, cp, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { TransportError } from '../spec/fault.ts';
import { cachedFolder, defaultCacheFolder } from './cache-folder.ts';
import {
  fetchKernelSources,
  type GuestArchitecture,
  type KernelPackage,
  type KernelSources,
  newestKernel,
} from './kernel-sources.ts';
import type { OnProgress } from './progress.ts';
import { ProgramMissing, runProgram } from './run-program.ts';
import { type Insertion, insertInto, insertionsAsDiff, newFileAsDiff } from './source-insertions.ts';

export interface SuspendModulesOptions {
  readonly cacheFolder?: string;
  readonly onProgress?: OnProgress;
  /** i386 for v86 (the 686 kernel), amd64 for the cloud kernel. */
  readonly architecture: GuestArchitecture;
  /** The package of the kernel that is to load the modules; the newest one by default. */
  readonly kernel?: KernelPackage;
}

export interface SuspendModules {
  /** Holds NAME.ko, without debug information. */
  readonly folder: string;
  readonly kernel: KernelPackage;
}

/** What the modules are made with cannot be had here: programs, or Debian packages. Without them a guest runs as ever. */
export class ModulesUnavailable extends TransportError {
  constructor(message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = 'ModulesUnavailable';
  }
}

/** Our sources, at their places in a kernel tree, and insertions.json. Next to src/ and dist/ alike. */
const ours = fileURLToPath(new URL('../../contrib/linux/', import.meta.url));
/** To be raised when the way the modules are built changes. */
const RECIPE = 1;

/**
 * Finds the modules, or fetches what they are made of and builds them: about a minute, most of it for one download of
 * 140 MB and its unpacking. Throws ModulesUnavailable when the packages cannot be had, or there is no gcc or make;
 * TransportError when those fail; StateError when the source of the kernel is not what the insertions were made for.
 */
export async function buildSuspendModules(options: SuspendModulesOptions): Promise<SuspendModules> {
  const { architecture, onProgress } = options;
  const cache = options.cacheFolder ?? defaultCacheFolder();
  const kernel = options.kernel ?? (await newestKernel(architecture, onProgress));
  const names = (await readdir(ours, { recursive: true, withFileTypes: true }))
    .filter((entry) => entry.isFile() && !entry.name.endsWith('.md'))
    .map((entry) => join(entry.parentPath, entry.name))
    .sort();
  const key = createHash('sha256').update(JSON.stringify([RECIPE, architecture, kernel]));
  for (const name of names)
    key
      .update(`${name.slice(ours.length)}\0`)
      .update(await readFile(name))
      .update('\0');
  const name = `suspend-modules-${architecture}-${key.digest('hex').slice(0, 16)}`;
  const folder = await cachedFolder(join(cache, name), async (target) => {
    await requireTools();
    const sources = await sourcesOf(kernel, options);
    onProgress?.({ name: 'building kernel modules', detail: kernel.name });
    await build(target, sources, await readInsertions());
  });
  return { folder, kernel };
}

/** The package of each program that the modules are built with. */
const TOOLS: Readonly<Record<string, string>> = { gcc: 'gcc', make: 'make', objcopy: 'binutils', xz: 'xz-utils' };

/** Files that the drivers include by a relative path. */
const NEEDED = ['drivers/tty/hvc/hvc_console.h'];

/**
 * The root of a kernel's source tree, with those files alone that the modules are made of: for `suspendDiff` of a kernel
 * whose source is not at hand. Throws ModulesUnavailable.
 */
export async function suspendSourceTree(options: SuspendModulesOptions): Promise<string> {
  const kernel = options.kernel ?? (await newestKernel(options.architecture, options.onProgress));
  return (await sourcesOf(kernel, options)).source;
}

async function sourcesOf(kernel: KernelPackage, options: SuspendModulesOptions): Promise<KernelSources> {
  const { architecture, onProgress } = options;
  const insertions = await readInsertions();
  return fetchKernelSources({
    cache: options.cacheFolder ?? defaultCacheFolder(),
    architecture,
    kernel,
    files: [...new Set(insertions.map(({ file }) => file)), ...NEEDED],
    ...(onProgress === undefined ? {} : { onProgress }),
  }).catch((cause: unknown) => {
    if (!(cause instanceof TransportError)) throw cause;
    throw new ModulesUnavailable(`the source and headers of ${kernel.name} could not be had: ${cause.message}`, {
      cause,
    });
  });
}

/**
 * The change to a kernel source tree as a unified diff for `patch -p1`: our files, and the insertions into its own. Throws
 * TransportError when `tree` is no source tree, StateError when it is not one that the insertions were made for.
 */
export async function suspendDiff(tree: string): Promise<string> {
  const insertions = await readInsertions();
  const parts: string[] = [];
  for (const entry of (await readdir(ours, { recursive: true })).sort()) {
    if (/^(drivers|include)\/.*\/virtio_.*\.[ch]$/.test(entry)) {
      parts.push(newFileAsDiff(entry, await readFile(join(ours, entry), 'utf8')));
    }
  }
  for (const [file, own] of byFile(insertions)) {
    const text = await readFile(join(tree, file), 'utf8').catch((cause: Error) => {
      throw new TransportError(`no kernel source tree: ${cause.message}`, { cause });
    });
    parts.push(insertionsAsDiff(file, text, own));
  }
  return parts.join('');
}

async function readInsertions(): Promise<Insertion[]> {
  return JSON.parse(await readFile(join(ours, 'insertions.json'), 'utf8')) as Insertion[];
}

function byFile(insertions: readonly Insertion[]): Map<string, Insertion[]> {
  const files = new Map<string, Insertion[]>();
  for (const insertion of insertions) files.set(insertion.file, [...(files.get(insertion.file) ?? []), insertion]);
  return files;
}

async function requireTools(): Promise<void> {
  if (process.arch !== 'x64' && process.arch !== 'ia32') {
    throw new ModulesUnavailable(`kernel modules for x86 are built on x86 machines only; this is ${process.arch}`);
  }
  const missing: string[] = [];
  for (const program of Object.keys(TOOLS)) {
    await runProgram(program, ['--version']).catch((error: unknown) => {
      if (!(error instanceof ProgramMissing)) throw error;
      missing.push(program);
    });
  }
  if (missing.length === 0) return;
  throw new ModulesUnavailable(
    `kernel modules that suspend virtio devices are built on this machine, which has no ${missing.join(' and no ')}: ` +
      `apt-get install ${missing.map((program) => TOOLS[program]).join(' ')}, or use the guest without --suspend`,
  );
}

async function build(target: string, sources: KernelSources, insertions: readonly Insertion[]): Promise<void> {
  const tree = join(target, 'tree');
  await cp(ours, tree, { recursive: true });
  for (const [file, own] of byFile(insertions)) {
    const text = await readFile(join(sources.source, file), 'utf8');
    await mkdir(dirname(join(tree, file)), { recursive: true });
    await writeFile(join(tree, file), insertInto(text, own));
  }
  for (const file of NEEDED) {
    await mkdir(dirname(join(tree, file)), { recursive: true });
    await copyFile(join(sources.source, file), join(tree, file));
  }
  await runProgram('make', ['-C', sources.headers, `M=${tree}`, '-j2', 'modules']);
  for (const entry of await readdir(tree, { recursive: true })) {
    if (entry.endsWith('.ko'))
      await runProgram('objcopy', ['--strip-debug', join(tree, entry), join(target, basename(entry))]);
  }
  await rm(tree, { recursive: true });
}
