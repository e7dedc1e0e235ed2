const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

const cleanups = new Set<() => void>();

/**
 * Calls `clean` if a signal ends this process before the returned function is called. What it does has to be done when it
 * returns. The process then ends by that signal, as it would without us.
 */
export function onSignal(clean: () => void): () => void {
  if (cleanups.size === 0) for (const signal of SIGNALS) process.on(signal, end);
  cleanups.add(clean);
  return () => {
    cleanups.delete(clean);
    if (cleanups.size === 0) stopListening();
  };
}

function end(signal: NodeJS.Signals): void {
  stopListening();
  for (const clean of [...cleanups].reverse()) {
    try {
      clean();
    } catch (error) {
      process.stderr.write(`virtio: ${error instanceof Error ? error.message : String(error)}\n`);
    }
  }
  process.kill(process.pid, signal);
}

function stopListening(): void {
  for (const signal of SIGNALS) process.off(signal, end);
}
