import { readFileSync } from 'node:fs';

/** Memory of a process, in bytes of RAM that it has now. */
export interface Resident {
  /** All but what is mapped from the guest and from images. */
  readonly own: number;
  /** The part of it that is in no file: heaps, stacks, compiled code. The rest are pages of Node's program and of libraries. */
  readonly anonymous: number;
}

/**
 * As /proc/PID/smaps has it, which is what smaps_rollup adds up, for each mapping. RSS and not PSS: PSS is less for a page that others
 * have, too, as another Node has its program, and how many of those run is no property of the server.
 *
 * Left out are mappings of guests' memory (memfd, which the front-end made) and of files whose path starts with one of `images`: the
 * page cache has those pages whether or not they are mapped.
 */
export function resident(pid: number, images: readonly string[]): Resident {
  let [own, anonymous] = [0, 0];
  let isOurs = true;
  for (const line of readFileSync(`/proc/${pid}/smaps`, 'latin1').split('\n')) {
    const mapping = /^[\da-f]+-[\da-f]+ \S+ \S+ \S+ \d+ *(.*)$/.exec(line);
    if (mapping !== null) isOurs = ![...images, '/memfd:'].some((start) => mapping[1]!.startsWith(start));
    const amount = /^(Rss|Anonymous): +(\d+) kB$/.exec(line);
    if (amount === null || !isOurs) continue;
    if (amount[1] === 'Rss') own += Number(amount[2]) * 1024;
    else anonymous += Number(amount[2]) * 1024;
  }
  if (own === 0) throw new Error(`nothing is known of the memory of process ${pid}`);
  return { own, anonymous };
}
