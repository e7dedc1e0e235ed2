import { InvalidArgumentError } from 'commander';
import type { ComputerDisk, WritesTo } from '../machine/computer.ts';

const SUFFIXES: Readonly<Record<string, WritesTo>> = { overlay: 'overlay', rw: 'image', ro: 'nowhere' };

/** For commander: `FILE`, `FILE:rw` or `FILE:ro`, collected in order. */
export function collectDisk(text: string, disks: readonly ComputerDisk[] = []): ComputerDisk[] {
  const at = text.lastIndexOf(':');
  const suffix = at < 0 ? undefined : SUFFIXES[text.slice(at + 1)];
  const disk: ComputerDisk =
    suffix === undefined ? { path: text, writesTo: 'overlay' } : { path: text.slice(0, at), writesTo: suffix };
  if (disk.path === '') throw new InvalidArgumentError('it names no file.');
  return [...disks, disk];
}
