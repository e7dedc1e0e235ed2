import { Listr, ListrLogger, ProcessOutput } from 'listr2';
import type { OnProgress, ProgressStep } from '../machine/progress.ts';

/**
 * Runs `work` and shows on standard error which step it is at: as a spinner on a terminal, as lines elsewhere. What `work`
 * throws is thrown on.
 */
export async function withProgress<T>(title: string, work: (onProgress: OnProgress) => Promise<T>): Promise<T> {
  const logger = new ListrLogger({ processOutput: new ProcessOutput(process.stderr, process.stderr) });
  let result: { readonly value: T } | undefined;
  const tasks = new Listr(
    [
      {
        title,
        task: async (_, task) => {
          let shown = '';
          result = {
            value: await work((step) => {
              const text = describe(step);
              if (text !== shown) task.output = text;
              shown = text;
            }),
          };
        },
      },
    ],
    {
      renderer: process.stderr.isTTY ? 'default' : 'simple',
      rendererOptions: { logger },
      fallbackRendererOptions: { logger },
      registerSignalListeners: false,
    },
  );
  await tasks.run();
  return result!.value;
}

function describe({ name, detail, fraction }: ProgressStep): string {
  const percent = fraction === undefined ? '' : ` ${Math.floor(fraction * 100)}%`;
  return `${name}${percent}${detail === undefined ? '' : `: ${detail}`}`;
}
