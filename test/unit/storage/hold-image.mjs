// Opens the image of its first argument and holds it until it is killed: `node hold-image.mjs disk.img [read-only]`.
// Node 20 does not run TypeScript by itself, so the disk is loaded by the server that vitest has for that.
import { fileURLToPath } from 'node:url';
import { createViteServer } from 'vitest/node';

const [path, mode] = process.argv.slice(2);
const root = fileURLToPath(new URL('../../..', import.meta.url));
const server = await createViteServer({
  root,
  configFile: false,
  logLevel: 'error',
  cacheDir: fileURLToPath(new URL('.', `file://${path}`)),
  optimizeDeps: { noDiscovery: true },
  server: { middlewareMode: true, watch: null, ws: false },
});
const { openFileDisk } = await server.ssrLoadModule('/src/storage/file.ts');
await openFileDisk(path, { readOnly: mode === 'read-only' });
process.stdout.write('held\n');
setInterval(() => undefined, 1000);
