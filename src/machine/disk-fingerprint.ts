import { createHash } from 'node:crypto';
import type { Disk } from '../devices/block/disk.ts';
import { readDisk } from '../storage/direct-request.ts';

const SECTOR = 512;
/** Up to this size the whole disk is read; of a larger one, samples. */
const WHOLE = 64 * 1024 * 1024;
const SAMPLES = 256;
const SAMPLE_BYTES = 64 * 1024;

/**
 * Text by which a base image is recognised: its size and a SHA-256 of its contents, for a disk above 64 MiB of 16 MiB
 * evenly taken from it. Finds the wrong image, and most changes; not every change of a large one.
 */
export async function fingerprintDisk(disk: Disk): Promise<string> {
  const bytes = disk.capacitySectors * SECTOR;
  const hash = createHash('sha256');
  const whole = bytes <= WHOLE;
  const samples = whole ? Math.ceil(bytes / SAMPLE_BYTES) : SAMPLES;
  for (let n = 0; n < samples; n++) {
    const position = whole
      ? n * SAMPLE_BYTES
      : Math.floor((n * (bytes - SAMPLE_BYTES)) / (SAMPLES - 1) / SECTOR) * SECTOR;
    hash.update(await readDisk(disk, position, Math.min(SAMPLE_BYTES, bytes - position)));
  }
  return `${bytes} bytes, ${whole ? '' : 'sampled '}sha256 ${hash.digest('hex')}`;
}
