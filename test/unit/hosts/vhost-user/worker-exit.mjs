// Serves a disk at the path that is given, and ends without closing it: by an exit at once, or by an error when the worker is asleep.
import process from 'node:process';
import { setTimeout } from 'node:timers/promises';
import { serveVhostUserInWorker } from 'virtio-ts/hosts/vhost-user';

const [path, how] = process.argv.slice(2);
const module = new URL('./worker-disk.mjs', import.meta.url);
const server = await serveVhostUserInWorker({ path, module, options: {} });
if (how === 'exit') process.exit(7);
// Its loop is fast by then: it could be asleep again before it is told to end.
for (let n = 0; n < 5000; n++) await server.status();
await setTimeout(300);
throw new Error('nobody catches this');
