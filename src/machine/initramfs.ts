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

/** Where the guest's scripts are: next to src/ and dist/ alike. */
export const guestScripts: URL = new URL('../../guest/', import.meta.url);

export interface InitramfsSources {
  /** A statically linked busybox. */
  readonly busybox: Uint8Array;
  readonly modules: KernelModules;
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
  entries.push(...(await moduleEntries(sources.modules)));
  return promisify(gzip)(packArchive(entries), { level: 6 });
}

async function moduleEntries(modules: KernelModules): Promise<ArchiveEntry[]> {
  const objects = new Map<string, Uint8Array>();
  const lists: ArchiveEntry[] = [];
  for (const [set, wanted] of Object.entries(moduleSets)) {
    const order = await modules.inLoadOrder(wanted);
    for (const module of order) objects.set(module.name, module.object);
    const data = new TextEncoder().encode(order.map((module) => `${module.name}\n`).join(''));
    lists.push({ path: `lib/modules/${set}.list`, mode: FileMode.FILE, data });
  }
  const files = [...objects].map(([name, data]) => ({ path: `lib/modules/${name}.ko`, mode: FileMode.FILE, data }));
  return [...files, ...lists];
}
