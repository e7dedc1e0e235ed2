// Serves a disk at the path that is given, and exits without closing it.
import process from 'node:process';
import { serveVhostUserInWorker } from 'virtio-ts/hosts/vhost-user';

const module = new URL('./worker-disk.mjs', import.meta.url);
await serveVhostUserInWorker({ path: process.argv[2], module, options: {} });
process.exit(7);
