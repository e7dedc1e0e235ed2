import { spawnSync } from 'node:child_process';

/** Whether a program is on PATH. What is not is said: tests are skipped for it. */
export function hasProgram(program: string, debianPackage: string): boolean {
  const isThere = spawnSync('sh', ['-c', `command -v ${program}`]).status === 0;
  if (!isThere) console.warn(`skipped: no ${program} on PATH; Debian has it in ${debianPackage}`);
  return isThere;
}
