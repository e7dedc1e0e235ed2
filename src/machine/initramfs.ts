/** The guest's first and only root file system: busybox, the scripts in guest/, and kernel modules. */
import { readdir, readFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { type ArchiveEntry, FileMode, packArchive } from './cpio.ts';
import type { KernelModules } from './kernel-modules.ts';

/** The lists of modules that the guest can load by name; what they need comes along. */
export const moduleSets: Readonly<Record<string, readonly string[]>> = {
  virtio: ['virtio_pci', 'virtio_blk'],
  entropy: ['virtio_rng'],
  console: ['virtio_console'],
  net: ['virtio_net'],
  ext4: ['crc32c_generic', 'ext4'],
  ata: ['ata_piix', 'sd_mod'],
};

/** The same with drivers that can suspend their devices, where those were built; see `buildSuspendModules`. */
export const suspendModuleSets: Readonly<Record<string, readonly string[]>> = {
  'virtio-suspend': ['virtio_pci', 'virtio_blk', 'irq_wake'],
  'entropy-suspend': ['virtio_rng'],
  'console-suspend': ['virtio_console'],
  'net-suspend': ['virtio_net'],
};

/** Where the guest's scripts are: next to src/ and dist/ alike. */
export const guestScripts: URL = new URL('../../guest/', import.meta.url);

/** Below the guest's /lib/modules: drivers of ours that have the names of stock ones. */
export const SUSPEND_FOLDER = 'suspend';

export interface InitramfsSources {
  /** A statically linked busybox. */
  readonly busybox: Uint8Array;
  readonly modules: KernelModules;
  /** The same modules with ours in place of those that they replace. */
  readonly suspendModules?: KernelModules;
  /** Names and contents of the scripts; `init` among them. */
  readonly scripts: ReadonlyMap<string, Uint8Array>;
}

export async function readGuestScripts(): Promise<Map<string, Uint8Array>> {
  const scripts = new Map<string, Uint8Array>();
  for (const name of (await readdir(guestScripts)).sort())
    scripts.set(name, await readFile(new URL(name, guestScripts)));
  return scripts;
}

/** The gzipped archive, for the kernel to unpack. */
export async function buildInitramfs(sources: InitramfsSources): Promise<Uint8Array> {
  const entries: ArchiveEntry[] = ['bin', 'dev', 'lib', 'lib/modules'].map((path) => ({ path, mode: FileMode.FOLDER }));
  entries.push({ path: 'dev/console', mode: FileMode.CHARACTER_DEVICE, device: { major: 5, minor: 1 } });
  entries.push({ path: 'bin/busybox', mode: FileMode.PROGRAM, data: sources.busybox });
  for (const [name, data] of sources.scripts) {
    entries.push({ path: name === 'init' ? name : `bin/${name}`, mode: FileMode.PROGRAM, data });
  }
  entries.push(...(await moduleEntries(sources)));
  return promisify(gzip)(packArchive(entries), { level: 6 });
}

async function moduleEntries({ modules, suspendModules }: InitramfsSources): Promise<ArchiveEntry[]> {
  const objects = new Map<string, Uint8Array>();
  const lists: ArchiveEntry[] = [];
  const add = async (set: string, from: KernelModules, wanted: readonly string[]): Promise<void> => {
    const order = await from.inLoadOrder(wanted);
    for (const { place, object } of order) objects.set(place, object);
    const data = new TextEncoder().encode(order.map(({ place }) => `${place}\n`).join(''));
    lists.push({ path: `lib/modules/${set}.list`, mode: FileMode.FILE, data });
  };
  for (const [set, wanted] of Object.entries(moduleSets)) await add(set, modules, wanted);
  if (suspendModules !== undefined) {
    lists.push({ path: `lib/modules/${SUSPEND_FOLDER}`, mode: FileMode.FOLDER });
    for (const [set, wanted] of Object.entries(suspendModuleSets)) await add(set, suspendModules, wanted);
  }
  const files = [...objects].map(([place, data]) => ({ path: `lib/modules/${place}.ko`, mode: FileMode.FILE, data }));
  return [...lists, ...files];
}
