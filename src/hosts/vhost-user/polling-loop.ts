import { whenReadable } from '../../unix/poller.ts';
import type { BackEnd } from './back-end.ts';
import type { LoopClock } from './loop-clock.ts';
import { type LookResult, Patience } from './patience.ts';

export interface PollingLoopOptions {
  readonly backEnd: BackEnd;
  readonly clock: LoopClock;
  /** How long to look at the queues, at most, before the thread sleeps until it is kicked. 0 is not at all. */
  readonly pollUs: number;
  /** Something else is going on that needs the event loop. */
  readonly busy: () => boolean;
  readonly ended: () => boolean;
}

/** To read the clock costs as much as a few looks at an empty ring. */
const LOOKS = 64;
/** So many buffers in a row, and the clock is read as well. */
const BUFFERS = 64;
/** Looks at empty rings that took so long were not all that the processor did. */
const PREEMPTED_MS = 0.25;
/** Messages of the front-end wait no longer than this while the queues are looked at. */
const MESSAGES_EVERY_MS = 0.03;

/**
 * Serves a back-end from a thread of its own: works, looks for more for a while, asks for kicks and looks again, sleeps. When
 * something is under way that needs the event loop, as with a disk that answers later, it goes on from there, and does not look.
 */
export async function runPollingLoop(options: PollingLoopOptions): Promise<void> {
  const { backEnd, clock, pollUs, busy, ended } = options;
  const looking = pollUs > 0;
  const patience = new Patience(pollUs / 1000);
  while (!ended()) {
    if (patience.ms > 0) patience.looked(look(backEnd, patience.ms), clock.now());
    // Asks for kicks, and takes what came before that was seen.
    if (looking) backEnd.device.service.scan();
    clock.run();
    if (ended()) return;
    if (!backEnd.mayBlock || busy()) {
      await eventLoop(options);
      continue;
    }
    const before = clock.now();
    backEnd.turn(clock.waitMs, { looking });
    if (looking) patience.slept(before, clock.now());
  }
}

/** Takes what is there until nothing has come for `pollMs`, or somebody else needs the processor. */
function look(backEnd: BackEnd, pollMs: number): LookResult {
  const { service } = backEnd.device;
  const start = performance.now();
  let before = start;
  let lastFound = start;
  let lastTurn = start;
  for (;;) {
    let buffers = 0;
    for (let n = 0; n < LOOKS && buffers < BUFFERS; n++) buffers += service.poll();
    const now = performance.now();
    if (buffers > 0) lastFound = now;
    else if (now - before > PREEMPTED_MS) return 'preempted';
    else if (now - lastFound >= pollMs) break;
    before = now;
    if (now - lastTurn < MESSAGES_EVERY_MS) continue;
    backEnd.turn(0, { looking: true });
    if (!backEnd.mayBlock) break;
    before = lastTurn = performance.now();
  }
  return lastFound > start ? 'found' : 'nothing';
}

/** Resolves when nothing is under way any more; meanwhile the event loop does the work. */
function eventLoop({ backEnd, clock, busy, ended }: PollingLoopOptions): Promise<void> {
  return new Promise((resolve) => {
    let timer: NodeJS.Timeout | undefined;
    const wait = (): void => {
      clearTimeout(timer);
      if (clock.waitMs >= 0) timer = setTimeout(step, clock.waitMs);
    };
    const step = (): void => {
      if (!ended()) backEnd.turn(0);
      clock.run();
      if (!ended() && (!backEnd.mayBlock || busy())) {
        wait();
        return;
      }
      clearTimeout(timer);
      clock.onAfter = undefined;
      watch.close();
      resolve();
    };
    const watch = whenReadable(backEnd.poller.fd, step);
    clock.onAfter = wait;
    step();
  });
}
