// Serves the image at the first argument at the socket of the second. Prints its events, and `listening`, one JSON value a line.
// After SIGUSR2 it kills itself as soon as requests are in the middle.
import process from 'node:process';
import { BlockDevice } from 'virtio-ts/devices/block';
import { serveVhostUser } from 'virtio-ts/hosts/vhost-user';
import { FaultyDisk } from 'virtio-ts/storage';
import { openFileDisk } from 'virtio-ts/storage/file';

const say = (value) => process.stdout.write(`${JSON.stringify(value)}\n`);
let doomed = false;
process.on('SIGUSR2', () => {
  doomed = true;
});

// Some requests take a while, and others overtake them.
function schedule(work) {
  if (doomed) setTimeout(() => process.kill(process.pid, 'SIGKILL'), Math.random() * 10);
  if (doomed || Math.random() < 0.1) setTimeout(work, 5 + Math.random() * 20);
  else work();
}

const disk = new FaultyDisk(await openFileDisk(process.argv[2]), { latency: () => 1, schedule });
await serveVhostUser({ path: process.argv[3], device: () => new BlockDevice(disk), onEvent: say });
say({ event: 'listening' });
