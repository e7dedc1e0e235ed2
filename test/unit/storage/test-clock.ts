/** A schedule for FaultyDisk without real time: the earliest action runs at the next turn of the event loop. */
export function testClock(): (action: () => void, delayMs: number) => void {
  let now = 0;
  const waiting: { readonly at: number; readonly action: () => void }[] = [];
  const runNext = (): void => {
    waiting.sort((a, b) => a.at - b.at);
    const next = waiting.shift()!;
    now = next.at;
    next.action();
  };
  return (action, delayMs) => {
    waiting.push({ at: now + delayMs, action });
    setImmediate(runNext);
  };
}
