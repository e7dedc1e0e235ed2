import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { build, type Plugin, preview } from 'vite';

const example = resolve(import.meta.dirname, '../../examples/browser');
const configFile = join(example, 'vite.config.ts');

/** The page of examples/browser, built as for the web and served on this machine. */
export interface BuiltPage {
  readonly url: string;
  /** Paths of the modules in it, and for each what it imports. */
  readonly modules: ReadonlyMap<string, readonly string[]>;
  close(): Promise<void>;
}

export interface PageOptions {
  /** A module to take the place of the example's disk.ts. */
  readonly diskModule?: string;
}

export async function buildPage({ diskModule }: PageOptions = {}): Promise<BuiltPage> {
  const outDir = mkdtempSync(join(tmpdir(), 'virtio-page-'));
  const modules = new Map<string, readonly string[]>();
  const plugins = [collectModules(modules), ...(diskModule === undefined ? [] : [otherDisk(diskModule)])];
  const remove = () => rmSync(outDir, { recursive: true });
  try {
    await build({ configFile, logLevel: 'error', plugins, build: { outDir } });
    const server = await preview({
      configFile,
      logLevel: 'error',
      build: { outDir },
      preview: { host: '127.0.0.1', port: 0 },
    });
    const close = async () => {
      await server.close();
      remove();
    };
    return { url: server.resolvedUrls!.local[0]!, modules, close };
  } catch (error) {
    remove();
    throw error;
  }
}

function collectModules(modules: Map<string, readonly string[]>): Plugin {
  return {
    name: 'collect modules',
    moduleParsed: ({ id, importedIds, dynamicallyImportedIds }) =>
      void modules.set(id, [...importedIds, ...dynamicallyImportedIds]),
  };
}

function otherDisk(module: string): Plugin {
  return {
    name: 'another disk',
    enforce: 'pre',
    resolveId: (source) => (source === './disk.ts' ? module : undefined),
  };
}
