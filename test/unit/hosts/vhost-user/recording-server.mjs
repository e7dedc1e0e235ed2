// Serves a disk of two queues at the path of the first argument, and says the sector of each write that comes to it, in its order.
// It ends only those whose sector is in the residue class, modulo 4, of the second argument; without one, all.
import process from 'node:process';
import { BlockDevice } from 'virtio-ts/devices/block';
import { serveVhostUser } from 'virtio-ts/hosts/vhost-user';
import { SimpleDisk } from 'virtio-ts/storage';

const [, , path, residue] = process.argv;
const say = (value) => process.stdout.write(`${JSON.stringify(value)}\n`);
const disk = new SimpleDisk({
  capacitySectors: 4096,
  read: async (_position, length) => new Uint8Array(length),
  write: (position) => {
    const sector = position / 512;
    say({ sector });
    return residue === undefined || sector % 4 === Number(residue) ? Promise.resolve() : new Promise(() => {});
  },
});
await serveVhostUser({ path, device: () => new BlockDevice(disk, { queues: 2 }), onEvent: say });
say({ event: 'listening' });
