import { readFileSync } from 'node:fs';

const SCHEDULER_STATISTICS = '/proc/thread-self/schedstat';

/**
 * Milliseconds for which this thread has had a processor, from any start: other programs do not count. Where the system does not
 * say, plain time.
 */
export function threadTimeMs(): number {
  try {
    const [runNs] = readFileSync(SCHEDULER_STATISTICS, 'latin1').split(' ');
    return Number(runNs) / 1e6;
  } catch {
    return performance.now();
  }
}
