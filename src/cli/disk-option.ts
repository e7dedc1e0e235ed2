import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { InvalidArgumentError } from 'commander';
import type { ComputerDisk, WritesTo } from '../machine/computer.ts';

const SUFFIXES: Readonly<Record<string, WritesTo>> = { overlay: 'overlay', rw: 'image', ro: 'nowhere' };

/**
 * For commander: `FILE`, `FILE:rw`, `FILE:ro` or `FILE:overlay`, collected in order. Paths become absolute: a saved machine
 * remembers them, and may go on from another folder.
 */
export function collectDisk(text: string, disks: readonly ComputerDisk[] = []): ComputerDisk[] {
  const at = text.lastIndexOf(':');
  const suffix = at < 0 ? '' : text.slice(at + 1);
  const writesTo = Object.hasOwn(SUFFIXES, suffix) ? SUFFIXES[suffix] : undefined;
  if (writesTo === undefined && /^[a-z]+$/i.test(suffix) && !existsSync(text)) {
    throw new InvalidArgumentError(`there is no such file, and no mode "${suffix}": modes are overlay, rw and ro.`);
  }
  const path = writesTo === undefined ? text : text.slice(0, at);
  if (path === '') throw new InvalidArgumentError('it names no file.');
  return [...disks, { path: resolve(path), writesTo: writesTo ?? 'overlay' }];
}
