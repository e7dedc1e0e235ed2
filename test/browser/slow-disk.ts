import { FaultyDisk, MemoryDisk, OverlayDisk, type OverlayState, seededLatency } from 'virtio-ts/storage';

// In place of the example's disk.ts: requests take their time and end in any order, so that a pause finds some on the way.
const overlay = new OverlayDisk(new MemoryDisk({ capacitySectors: 65536 }));
const slow = new FaultyDisk(overlay, {
  latency: seededLatency(1, 8, 16),
  schedule: (action, delayMs) => void setTimeout(action, delayMs),
});

export const disk = Object.assign(slow, {
  snapshot: () => overlay.snapshot(),
  restore: (state: OverlayState) => overlay.restore(state),
});

// For the test, which clicks when there are some.
Object.assign(globalThis, { requestsInFlight: () => slow.inFlight });
