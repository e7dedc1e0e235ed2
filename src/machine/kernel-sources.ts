/** What modules for a kernel of Debian are built with: its headers, and the few files of its source that are changed. */
import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { TransportError } from '../spec/fault.ts';
import { AptPackages, unpackPackage } from './apt-packages.ts';
import { cachedFolder } from './cache-folder.ts';
import type { OnProgress } from './progress.ts';
import { runProgram } from './run-program.ts';

/** As in linux-image-6.1.0-50-686, 6.1.176-1. */
export interface KernelPackage {
  readonly name: string;
  readonly version: string;
}

export interface KernelSources {
  /** The folder to hand to `make -C`. */
  readonly headers: string;
  /** The root of a source tree with nothing but the files that were asked for. */
  readonly source: string;
}

export type GuestArchitecture = 'i386' | 'amd64';

/** Depend on the package of the newest kernel. */
export const kernelMetaPackages: Readonly<Record<GuestArchitecture, string>> = {
  i386: 'linux-image-686',
  amd64: 'linux-image-cloud-amd64',
};

/** Asks apt; throws TransportError. */
export async function newestKernel(architecture: GuestArchitecture, onProgress?: OnProgress): Promise<KernelPackage> {
  const folder = await mkdtemp(join(tmpdir(), 'virtio-apt-'));
  const apt = new AptPackages(folder, architecture, onProgress);
  try {
    await apt.update();
    const meta = kernelMetaPackages[architecture];
    const name = (await apt.dependencies(meta)).find((entry) => /^linux-image-\d/.test(entry));
    if (name === undefined) throw new TransportError(`${meta} names no kernel package`);
    return { name, version: await apt.version(name) };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

export interface KernelSourcesOptions {
  readonly cache: string;
  readonly architecture: GuestArchitecture;
  readonly kernel: KernelPackage;
  /** Relative to the root of the source tree. */
  readonly files: readonly string[];
  readonly onProgress?: OnProgress;
}

/** Of exactly this kernel, from the cache or downloaded: 150 MB, of which 80 MB are kept. */
export async function fetchKernelSources(options: KernelSourcesOptions): Promise<KernelSources> {
  const { cache, kernel, files } = options;
  const list = createHash('sha256').update(files.join('\n')).digest('hex').slice(0, 8);
  const name = `kernel-sources-${kernel.name}-${kernel.version}-${list}`;
  const folder = await cachedFolder(join(cache, name), (target) => fetch(target, options));
  const headers = join(folder, 'usr/src', kernel.name.replace('linux-image-', 'linux-headers-'));
  return { headers, source: join(folder, 'source') };
}

async function fetch(target: string, { architecture, kernel, files, onProgress }: KernelSourcesOptions): Promise<void> {
  const headers = kernel.name.replace('linux-image-', 'linux-headers-');
  const own = (await runProgram('dpkg', ['--print-architecture'])).trim();
  const apt = new AptPackages(join(target, 'apt'), architecture, onProgress);
  await apt.update();
  const needed = await apt.dependencies(`${headers}=${kernel.version}`);
  const common = needed.find((name) => name.endsWith('-common'));
  const kbuild = needed.find((name) => name.startsWith('linux-kbuild-'));
  if (common === undefined || kbuild === undefined) throw new TransportError(`${headers} needs no common headers`);
  const source = `linux-source-${/^\d+\.\d+/.exec(kernel.version)?.[0]}`;
  const exactly = [headers, common, source].map((name) => `${name}=${kernel.version}`);
  const packages = await apt.download(architecture === own ? [...exactly, kbuild] : exactly);
  if (architecture !== own) {
    // The programs in it run here.
    const ownApt = new AptPackages(join(target, 'apt-own'), own, onProgress);
    await ownApt.update();
    packages.push(...(await ownApt.download([kbuild])));
  }
  onProgress?.({ name: 'unpacking the source of the kernel', detail: kernel.version });
  for (const { file } of packages) await unpackPackage(file, target);
  await correctPath(target, headers);
  await unpackSource(join(target, 'usr/src', `${source}.tar.xz`), join(target, 'source'), files);
  for (const name of ['apt', 'apt-own', `usr/src/${source}.tar.xz`])
    await rm(join(target, name), { recursive: true, force: true });
}

/** The headers include those common to all flavours by their path on a system that has them installed. */
async function correctPath(target: string, headers: string): Promise<void> {
  const file = join(target, 'usr/src', headers, 'Makefile');
  const text = await readFile(file, 'utf8');
  // Relative to this very file, as the folder is renamed when it is complete.
  const own = '$(dir $(lastword $(MAKEFILE_LIST)))..';
  await writeFile(
    file,
    text.replaceAll(/(include |KBUILD_OUTPUT=)\/usr\/src/g, (_, before: string) => `${before}${own}`),
  );
}

async function unpackSource(archive: string, folder: string, files: readonly string[]): Promise<void> {
  await mkdir(folder, { recursive: true });
  const patterns = files.map((file) => `*/${file}`);
  await runProgram('tar', ['-C', folder, '-xf', archive, '--strip-components=1', '--wildcards', ...patterns]);
}
