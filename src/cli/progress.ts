import { writeSync } from 'node:fs';
import { Listr, ListrLogger, ListrLogLevels, ProcessOutput } from 'listr2';
import type { OnProgress, ProgressStep } from '../machine/progress.ts';
import { onSignal } from './signals.ts';

/** How often a line says that the same step goes on, where there is no spinner. */
const REPEAT_MS = 5000;
const SHOW_CURSOR = '\x1b[?25h';

/**
 * Runs `work` and shows on standard error which step it is at: as a spinner on a terminal, as lines elsewhere. What `work`
 * throws is thrown on, and not shown here.
 */
export async function withProgress<T>(title: string, work: (onProgress: OnProgress) => Promise<T>): Promise<T> {
  const logger = new QuietLogger({ processOutput: new ProcessOutput(process.stderr, process.stderr) });
  // A pseudo-terminal whose size nobody has set has no columns, and the spinner would wrap every letter.
  const spinner = process.stderr.isTTY && process.stdout.columns !== 0;
  let result: { readonly value: T } | undefined;
  const tasks = new Listr(
    [
      {
        title,
        task: async (_, task) => {
          const show = spinner ? alwaysNew() : seldomTheSame();
          result = {
            value: await work((step) => {
              const text = describe(step);
              if (show(text)) task.output = text;
            }),
          };
        },
      },
    ],
    {
      renderer: spinner ? 'default' : 'simple',
      rendererOptions: { logger, showErrorMessage: false },
      fallbackRendererOptions: { logger },
      registerSignalListeners: false,
    },
  );
  // Past the renderer, which holds back what others write meanwhile.
  const stopWatching = spinner ? onSignal(() => writeSync(process.stderr.fd, SHOW_CURSOR)) : (): void => {};
  try {
    await tasks.run();
  } finally {
    stopWatching();
  }
  return result!.value;
}

/** Says that a task failed without saying why: the error is shown by whoever catches it. */
class QuietLogger extends ListrLogger {
  override log(...[level, message, options]: Parameters<ListrLogger['log']>): void {
    if (level === ListrLogLevels.FAILED) super.log(level, message);
    else super.log(level, message, options);
  }
}

function alwaysNew(): (text: string) => boolean {
  let shown = '';
  return (text) => {
    const isNew = text !== shown;
    shown = text;
    return isNew;
  };
}

/** Lets a text pass whose words are new at once, one in which only numbers have changed every now and then. */
function seldomTheSame(): (text: string) => boolean {
  const isNew = alwaysNew();
  let shownAt = 0;
  return (text) => {
    const now = performance.now();
    if (!isNew(text.replaceAll(/\d+/g, '#')) && now - shownAt < REPEAT_MS) return false;
    shownAt = now;
    return true;
  };
}

function describe({ name, detail, fraction }: ProgressStep): string {
  const percent = fraction === undefined ? '' : ` ${Math.floor(fraction * 100)}%`;
  return `${name}${percent}${detail === undefined ? '' : `: ${detail}`}`;
}
