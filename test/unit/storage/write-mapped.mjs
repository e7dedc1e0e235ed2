// Opens the image of its first argument as a mapped disk and writes generations of it, each 64 KiB at its own place, with a
// flush after each, until it is killed; says which are flushed. See hold-image.mjs for how it is loaded.
import { writeSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { createViteServer } from 'vitest/node';

const [path] = process.argv.slice(2);
const root = fileURLToPath(new URL('../../..', import.meta.url));
const server = await createViteServer({
  root,
  configFile: false,
  logLevel: 'error',
  cacheDir: fileURLToPath(new URL('.', `file://${path}`)),
  optimizeDeps: { noDiscovery: true },
  server: { middlewareMode: true, watch: null, ws: false },
});
const { openMappedDisk } = await server.ssrLoadModule('/src/storage/mapped.ts');
const { writeDisk, flushDisk } = await server.ssrLoadModule('/src/storage/index.ts');
const disk = await openMappedDisk(path);
const places = (disk.capacitySectors * 512) / 65536;
for (let generation = 1; ; generation++) {
  await writeDisk(disk, (generation % places) * 65536, new Uint8Array(65536).fill(generation % 251));
  await flushDisk(disk);
  writeSync(1, `${generation}\n`);
}
