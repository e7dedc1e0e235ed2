/** Machines that need no boot: the state of a guest at its fixed point, kept from the first boot of its kind. */
import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, rm, stat, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { gunzip, gzip } from 'node:zlib';
import { assignPlaces } from '../hosts/v86/plug-in.ts';
import { writeFileAtomically } from './atomic-file.ts';
import { defaultCacheFolder } from './cache-folder.ts';
import { v86Version } from './emulator.ts';
import { defaultCommandLine, defaultMemoryBytes, Machine, type MachineOptions } from './machine.ts';

export interface StartOptions extends MachineOptions {
  readonly cacheFolder?: string;
  /** Lists of modules that the guest loads when it goes on; see `moduleSets`. By default what the files say, else `virtio`. */
  readonly load?: readonly string[];
}

/** To be raised when what a ready state contains changes. */
const RECIPE = 1;
/** Each takes about 20 MB. */
const STATES_KEPT = 6;

/**
 * Starts a machine: from the ready state of its kind if there is one, in about a second; else by a boot that leaves one.
 * Returns when the drivers are loaded and a shell is on the console.
 *
 * A ready state is taken before any driver was loaded, and its devices start anew in their reset state, so any disk can
 * be behind them. Machines of one kind have the same files, memory size, command line and layout of PCI functions.
 */
export async function startMachine(options: StartOptions): Promise<Machine> {
  const folder = options.cacheFolder ?? defaultCacheFolder();
  await mkdir(folder, { recursive: true });
  const file = join(folder, `ready-${await kindOf(options)}.gz`);
  const machine = (await fromReadyState(file, options)) ?? (await bootAndKeep(file, options));
  try {
    options.onProgress?.({ name: 'starting the guest' });
    await machine.go(options.load ?? options.files.load);
  } catch (error) {
    await machine.destroy();
    throw error;
  }
  return machine;
}

async function fromReadyState(file: string, options: StartOptions): Promise<Machine | undefined> {
  const packed = await readFile(file).catch(() => undefined);
  if (packed === undefined) return undefined;
  options.onProgress?.({ name: 'restoring the booted guest' });
  try {
    const machine = await Machine.fromState(options, await promisify(gunzip)(packed));
    await utimes(file, new Date(), new Date()).catch(() => undefined);
    machine.continue();
    return machine;
  } catch {
    // Whatever is wrong with a file in the cache: a boot makes a new one.
    await rm(file, { force: true });
    return undefined;
  }
}

async function bootAndKeep(file: string, options: StartOptions): Promise<Machine> {
  const machine = await Machine.boot(options);
  options.onProgress?.({ name: 'keeping the booted guest for the next start' });
  try {
    await machine.pause();
    machine.host.savedAs = 'reset';
    const state = await machine.saveState();
    machine.host.savedAs = 'state';
    machine.continue();
    await writeFileAtomically(file, [await promisify(gzip)(state, { level: 1 })]);
    await removeOld(file);
  } catch (error) {
    await machine.destroy();
    throw error;
  }
  return machine;
}

/** Everything that a guest at its fixed point has already seen. */
async function kindOf(options: StartOptions): Promise<string> {
  const { files, memoryBytes = defaultMemoryBytes, commandLine = defaultCommandLine } = options;
  const places = assignPlaces(options.functions ?? []).map(({ pci, slot, ioBase }) => {
    return { slot, ioBase, bars: pci.bars, space: Buffer.from(pci.configSpace).toString('hex') };
  });
  const ideBytes = options.ideDisk?.byteLength ?? 0;
  const hash = createHash('sha256').update(
    JSON.stringify([RECIPE, v86Version, memoryBytes, commandLine, places, ideBytes]),
  );
  for (const path of [files.kernel, files.initrd, files.bios, files.vgaBios]) {
    hash.update(
      createHash('sha256')
        .update(path === undefined ? '' : await readFile(path))
        .digest(),
    );
  }
  return hash.digest('hex').slice(0, 16);
}

/** Keeps the states that were used last. */
async function removeOld(file: string): Promise<void> {
  const folder = join(file, '..');
  const names = (await readdir(folder)).filter((name) => /^ready-[0-9a-f]+\.gz$/.test(name));
  const states = await Promise.all(
    names.map(async (name) => ({
      name,
      usedMs: await stat(join(folder, name)).then(
        (found) => found.mtimeMs,
        () => 0,
      ),
    })),
  );
  states.sort((a, b) => b.usedMs - a.usedMs);
  for (const { name } of states.slice(STATES_KEPT)) await rm(join(folder, name), { force: true });
}
