import { BlockDevice } from 'virtio-ts/devices/block';
import { MemoryDisk, SimpleDisk } from 'virtio-ts/storage';

/** A disk that answers at once, or in a later turn of the event loop. */
export default ({ behaviour, queues }) => {
  const memory = new MemoryDisk({ capacitySectors: 4096 });
  const bytes = new Uint8Array(4096 * 512);
  const later = () => new Promise((resolve) => setTimeout(resolve, 1));
  const slow = new SimpleDisk({
    capacitySectors: 4096,
    read: async (position, length) => {
      await later();
      return bytes.slice(position, position + length);
    },
    write: async (position, data) => {
      await later();
      bytes.set(data, position);
    },
  });
  const disk = behaviour === 'slow' ? slow : memory;
  if (behaviour === 'broken') throw new Error('no disk today');
  return {
    type: new BlockDevice(disk, { queues }),
    commands: {
      resize: (sectors) => disk.resize(sectors),
      capacity: () => disk.capacitySectors,
      die: () => process.nextTick(() => JSON.parse('nonsense')),
    },
  };
};
