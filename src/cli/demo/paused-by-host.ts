import { elapsedMs } from './elapsed.ts';
import type { PauseReport } from './guest-report.ts';
import type { Scenario } from './scenario.ts';

/** The host pauses the machine behind the back of the guest's drivers, while requests are in flight. */
export const pausedByHost: Scenario<'pause'> = {
  drivers: 'virtio',

  async rest(guest): Promise<PauseReport> {
    guest.progress('waiting for requests in flight');
    await guest.requestInFlight();
    const { inFlight } = guest.device;
    const pausing = performance.now();
    await guest.computer.pause();
    return { inFlight, pauseMs: elapsedMs(pausing) };
  },

  async goOn() {
    return {};
  },
};
