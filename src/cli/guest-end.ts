import type { Computer } from '../machine/computer.ts';

/** What Linux says on its console when it is through, after a time stamp; it may begin behind a prompt. */
const LAST_WORDS =
  /\[ *\d+\.\d{6}\] (reboot: (?:System halted|Restarting system|Power down)|Kernel panic - not syncing[^\r\n]*)\r?\n/;
/** Longer than any line with last words. */
const KEPT = 1000;

/**
 * Watches the console for the end of the guest, which a machine does not notice by itself: a processor that was halted
 * looks like an idle one, and a restart finds nothing to boot from. `onEnd` gets the guest's last words; it may be
 * called more than once, for a guest can print the same words otherwise. The result ends the watch.
 */
export function watchGuestEnd(computer: Computer, onEnd: (lastWords: string) => void): () => void {
  const decoder = new TextDecoder();
  let text = '';
  return computer.machine.serial.onData((bytes) => {
    text += decoder.decode(bytes, { stream: true });
    const found = LAST_WORDS.exec(text);
    text = found === null ? text.slice(-KEPT) : text.slice(found.index + found[0].length);
    if (found !== null) onEnd(found[1]!);
  });
}
