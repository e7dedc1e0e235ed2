import { join } from 'node:path';
import { Device } from 'virtio-ts/device';
import { BlockDevice } from 'virtio-ts/devices/block';
import { serveVfioUser } from 'virtio-ts/hosts/vfio-user';
import { serveVhostUser, serveVhostUserInWorker } from 'virtio-ts/hosts/vhost-user';
import { GuestMemory } from 'virtio-ts/memory';
import { openFileDisk } from 'virtio-ts/storage/file';
import { PciDevice } from 'virtio-ts/transports/pci';

// `node idle-devices.js KIND FOLDER COUNT`: a process that serves so many disks, image-N at socket-N, until it is ended.

const [kind, folder, count] = process.argv.slice(2) as [string, string, string];

const serve: Readonly<Record<string, (path: string, image: string) => Promise<unknown>>> = {
  'vhost-user': async (path, image) => {
    const type = new BlockDevice(await openFileDisk(image));
    return serveVhostUser({ path, device: () => type });
  },
  'vfio-user': async (path, image) => {
    const memory = new GuestMemory();
    const device = new Device(new BlockDevice(await openFileDisk(image)), memory);
    return serveVfioUser({ path, function: new PciDevice(device, { vectors: 2 }), memory });
  },
  threads: (path, image) =>
    serveVhostUserInWorker({ path, module: new URL('./file-device.js', import.meta.url), options: { image } }),
};

for (let n = 0; n < Number(count); n++) await serve[kind]!(join(folder, `socket-${n}`), join(folder, `image-${n}`));
process.stdout.write('listening\n');
