import type { Computer } from '../machine/computer.ts';
import { requireReplaceable } from './output-file.ts';

/**
 * Saves a machine to a file that is none of its images. Resolves to what the user has to know: where it is and, when
 * images are written in place, until when it can be gone on from.
 */
export async function saveComputer(computer: Computer, path: string): Promise<string> {
  await requireReplaceable(path, computer.disks);
  await computer.save(path);
  const written = computer.disks.filter(({ writesTo }) => writesTo === 'image').map((disk) => disk.path);
  const saved = `saved in ${path}`;
  if (written.length === 0) return saved;
  return `${saved}; it fits ${written.join(', ')} as it is now: quit before the guest writes there again`;
}
