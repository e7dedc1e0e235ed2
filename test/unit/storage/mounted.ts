import { spawnSync } from 'node:child_process';
import { closeSync, mkdirSync, openSync, truncateSync } from 'node:fs';
import { onTestFinished } from 'vitest';

const MEDIUM_BYTES = 8 << 20;

/** `large blocks` is an ext4 on a medium with blocks of 4096 bytes. */
export type Mountable = 'ext4' | 'large blocks' | 'tmpfs' | 'ramfs';

/**
 * Mounts a small file system for this test, in a folder with that path to it; undefined, and the reason printed, where that is not
 * allowed.
 */
export function mounted(kind: Mountable, folder: { path(name: string): string }): string | undefined {
  const point = folder.path(`mounted-${kind}`);
  mkdirSync(point, { recursive: true });
  const source = kind === 'ext4' || kind === 'large blocks' ? medium(folder.path(`medium ${kind}`), kind) : 'none';
  const mount = source === 'none' ? ['-t', kind, '-o', 'size=8m', source, point] : [source ?? '', point];
  if (source === undefined || !runs('mount', ...mount)) {
    console.warn(`skipped: ${kind} cannot be mounted here`);
    return undefined;
  }
  // Also when the test has failed, and left something open there.
  onTestFinished(() => void runs('umount', '-l', point));
  return point;
}

/** A block device with an empty ext4; undefined where there can be none. */
function medium(file: string, kind: 'ext4' | 'large blocks'): string | undefined {
  closeSync(openSync(file, 'w'));
  truncateSync(file, MEDIUM_BYTES);
  const blockBytes = kind === 'ext4' ? '512' : '4096';
  const { status, stdout } = spawnSync('losetup', ['--show', '-f', '-b', blockBytes, file], { encoding: 'utf8' });
  if (status !== 0) return undefined;
  const device = stdout.trim();
  // After the unmounting: what is registered last is called first.
  onTestFinished(() => void runs('losetup', '-d', device));
  return runs('mkfs.ext4', '-q', '-b', '4096', '-O', '^has_journal', device) ? device : undefined;
}

function runs(program: string, ...args: readonly string[]): boolean {
  return spawnSync(program, args).status === 0;
}
