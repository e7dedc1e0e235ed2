import { readdirSync } from 'node:fs';

/** How many descriptors this process has open; to be compared before and after. */
export function openFds(): number {
  return readdirSync('/proc/self/fd').length;
}
