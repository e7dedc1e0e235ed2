/** The files a guest boots from: the user's own, or Debian's from the cache, downloaded and built the first time. */
import { createHash } from 'node:crypto';
import { access, copyFile, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { TransportError } from '../spec/fault.ts';
import { AptPackages, type DebianPackage, unpackPackage } from './apt-packages.ts';
import { cachedFolder, defaultCacheFolder } from './cache-folder.ts';
import { buildInitramfs, moduleSets, readGuestScripts, SUSPEND_FOLDER, suspendModuleSets } from './initramfs.ts';
import { KernelModules } from './kernel-modules.ts';
import { type GuestArchitecture, type KernelPackage, kernelMetaPackages } from './kernel-sources.ts';
import type { OnProgress } from './progress.ts';
import { ProgramMissing } from './run-program.ts';
import { buildSuspendModules, type SuspendModules } from './suspend-modules.ts';

/** Paths, and the version in words. */
export interface GuestFiles {
  readonly kernel: string;
  readonly initrd: string;
  readonly bios: string;
  readonly vgaBios: string | undefined;
  readonly version: string;
  /** The lists of modules that the guest has to load to use its devices; `virtio` by default. */
  readonly load?: readonly string[];
}

export interface GuestFileOptions {
  /** A kernel and the initial ramdisk made for it (by this library: it has to know guest/init's protocol). Both or none. */
  readonly kernel?: string;
  readonly initrd?: string;
  readonly bios?: string;
  /** By default vgabios-stdvga.bin next to a given `bios`, if it is there. */
  readonly vgaBios?: string;
  /** Drivers that suspend their devices (VIRTIO_F_SUSPEND) in place of Debian's; built here, with gcc and make. */
  readonly suspend?: boolean;
  /** Of Debian's files: i386 by default, which is what v86 runs. amd64 is for other machines, with the cloud kernel. */
  readonly architecture?: GuestArchitecture;
  readonly cacheFolder?: string;
  readonly onProgress?: OnProgress;
}

/** To be raised when the way the files are built changes. */
const recipe = 1;
/** The list of modules with drivers that suspend. */
const SUSPEND_SET = 'virtio-suspend';

/**
 * Finds, downloads or builds the files. Throws RangeError for half of a pair, TransportError when a given file cannot be
 * read or apt fails, with what apt said.
 */
export async function guestFiles(options: GuestFileOptions = {}): Promise<GuestFiles> {
  const { kernel, initrd, bios } = options;
  if ((kernel === undefined) !== (initrd === undefined)) {
    throw new RangeError('a kernel and its initial ramdisk belong together: give both or none');
  }
  // Drivers are a matter of the initial ramdisk: with one of the user's own there is nothing to build.
  const suspend = options.suspend === true && initrd === undefined;
  const built = kernel === undefined || bios === undefined ? await debianFiles({ ...options, suspend }) : undefined;
  const vgaBios = options.vgaBios ?? (bios === undefined ? built?.vgaBios : await besides(bios, 'vgabios-stdvga.bin'));
  const files = {
    kernel: kernel ?? built!.kernel,
    initrd: initrd ?? built!.initrd,
    bios: bios ?? built!.bios,
    vgaBios,
    version: kernel === undefined ? built!.version : `given: ${basename(kernel)}`,
    ...(options.suspend ? { load: [SUSPEND_SET] } : {}),
  };
  for (const file of [files.kernel, files.initrd, files.bios, ...(vgaBios === undefined ? [] : [vgaBios])]) {
    await access(file).catch((cause: Error) => {
      throw new TransportError(`cannot read ${file}: ${cause.message}`, { cause });
    });
  }
  return files;
}

async function besides(file: string, name: string): Promise<string | undefined> {
  const path = join(dirname(file), name);
  return access(path).then(
    () => path,
    () => undefined,
  );
}

async function debianFiles(options: GuestFileOptions): Promise<GuestFiles> {
  const cache = options.cacheFolder ?? defaultCacheFolder();
  const { packageFolder, packages, kernel } = await debianPackages(cache, options);
  const scripts = await readGuestScripts();
  const suspendModules = options.suspend ? (await suspendModulesFor(kernel, cache, options)).folder : undefined;
  const sets = suspendModules === undefined ? moduleSets : { ...moduleSets, ...suspendModuleSets };
  const ours = suspendModules === undefined ? [] : [basename(suspendModules)];
  const key = createHash('sha256').update(JSON.stringify([recipe, packages, sets, ...ours]));
  for (const [name, data] of scripts) key.update(`${name}\0`).update(data).update('\0');
  const name = key.digest('hex').slice(0, 16);
  const folder = await cachedFolder(join(cache, `guest-${name}`), async (target) => {
    options.onProgress?.({ name: 'building the guest', detail: 'unpacking the kernel' });
    const files = new Map(packages.map((entry) => [entry.name, join(packageFolder, entry.file)]));
    await build(target, files, scripts, suspendModules);
  });
  return {
    kernel: join(folder, 'vmlinuz'),
    initrd: join(folder, 'initrd.gz'),
    bios: join(folder, 'bios-256k.bin'),
    vgaBios: join(folder, 'vgabios-stdvga.bin'),
    version: `Debian ${kernel.name.slice('linux-image-'.length)} (${kernel.version}), guest ${name}`,
  };
}

/** The package of the kernel that the guest has, or will have once it is built. Throws TransportError when apt fails. */
export async function guestKernel(
  options: Pick<GuestFileOptions, 'architecture' | 'cacheFolder' | 'onProgress'> = {},
): Promise<KernelPackage> {
  const { kernel } = await debianPackages(options.cacheFolder ?? defaultCacheFolder(), options);
  return { name: kernel.name, version: kernel.version };
}

interface DebianPackages {
  readonly packageFolder: string;
  /** Their files are in that folder. */
  readonly packages: readonly DebianPackage[];
  readonly kernel: DebianPackage;
}

/** From the cache, or downloaded. */
async function debianPackages(
  cache: string,
  { architecture = 'i386', onProgress }: GuestFileOptions,
): Promise<DebianPackages> {
  const packageFolder = await cachedFolder(join(cache, `debian-${architecture}`), (folder) =>
    downloadDebian(folder, architecture, onProgress),
  );
  const packages = JSON.parse(await readFile(join(packageFolder, 'packages.json'), 'utf8')) as DebianPackage[];
  return { packageFolder, packages, kernel: packages.find((entry) => isKernel(entry.name))! };
}

/** Leaves the packages and packages.json, whose file names are relative. */
async function downloadDebian(
  folder: string,
  architecture: GuestArchitecture,
  onProgress: OnProgress | undefined,
): Promise<void> {
  const apt = new AptPackages(join(folder, 'apt'), architecture, onProgress);
  const packages: DebianPackage[] = [];
  try {
    await apt.update();
    const meta = kernelMetaPackages[architecture];
    const kernel = (await apt.dependencies(meta)).find(isKernel);
    if (kernel === undefined) throw new TransportError(`${meta} names no kernel package`);
    for (const entry of await apt.download([kernel, 'busybox-static', 'seabios'])) {
      const file = basename(entry.file);
      await rename(entry.file, join(folder, file));
      packages.push({ ...entry, file });
    }
  } catch (error) {
    if (error instanceof ProgramMissing || error instanceof TransportError)
      throw new TransportError(advice(error, architecture));
    throw error;
  }
  await writeFile(join(folder, 'packages.json'), JSON.stringify(packages));
  await rm(join(folder, 'apt'), { recursive: true });
}

function advice(error: Error, architecture: GuestArchitecture): string {
  const own = 'give files of your own with --kernel, --initrd and --bios';
  if (error instanceof ProgramMissing) {
    return `the guest is made from Debian packages, but ${error.message}: run this where apt-get and dpkg-deb are, or ${own}`;
  }
  return `the guest's Debian packages (${kernelMetaPackages[architecture]}, busybox-static, seabios for ${architecture}) could not be had: ${error.message}\n${own}, or try again later`;
}

function isKernel(name: string): boolean {
  return /^linux-image-\d/.test(name);
}

function suspendModulesFor(
  { name, version }: DebianPackage,
  cacheFolder: string,
  { architecture = 'i386', onProgress }: GuestFileOptions,
): Promise<SuspendModules> {
  const kernel = { name, version };
  return buildSuspendModules({
    architecture,
    kernel,
    cacheFolder,
    ...(onProgress === undefined ? {} : { onProgress }),
  });
}

async function build(
  target: string,
  packages: Map<string, string>,
  scripts: Map<string, Uint8Array>,
  suspendModules: string | undefined,
): Promise<void> {
  const tree = join(target, 'unpacked');
  for (const file of packages.values()) await unpackPackage(file, tree);
  const version = (await readdir(join(tree, 'lib/modules')))[0];
  if (version === undefined) throw new TransportError('the kernel package has no modules');
  const modules = await KernelModules.in(join(tree, 'lib/modules', version));
  const initrd = await buildInitramfs({
    busybox: await readFile(join(tree, 'bin/busybox')),
    modules,
    ...(suspendModules === undefined
      ? {}
      : { suspendModules: await modules.replacedBy(suspendModules, SUSPEND_FOLDER) }),
    scripts,
  });
  await writeFile(join(target, 'initrd.gz'), initrd);
  await rename(join(tree, 'boot', `vmlinuz-${version}`), join(target, 'vmlinuz'));
  for (const name of ['bios-256k.bin', 'vgabios-stdvga.bin']) {
    await copyFile(join(tree, 'usr/share/seabios', name), join(target, name));
  }
  await rm(tree, { recursive: true });
}
