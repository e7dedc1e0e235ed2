import type { Check, Findings } from '../rule.ts';
import type { Located } from '../trace.ts';

/**
 * The generation is another one after a field has been read that has changed since it was read before (§2.5). What the driver
 * itself has written, or brought about by a step of its initialisation, is no such change.
 */
export function generationChanges(transport: 'mmio' | 'pci'): (findings: Findings) => Check {
  return (findings) => (findings.session.header.transport === transport ? follow(findings) : {});
}

function follow({ passed, failed }: Findings): Check {
  /** What was read of each field, and which generation was read before that. */
  const fields = new Map<string, { readonly value: number; readonly generation: number | undefined }>();
  let generation: number | undefined;
  let change: { readonly since: number; readonly read: Located } | undefined;
  const forget = (): void => {
    fields.clear();
    change = undefined;
  };
  return {
    'config.read': (event) => {
      const { offset, width, value } = event;
      const field = `${offset}:${width}`;
      const before = fields.get(field);
      if (before !== undefined && before.value !== value && before.generation !== undefined)
        change ??= { since: before.generation, read: event };
      fields.set(field, { value, generation });
    },
    'config.generation': ({ value }) => {
      if (change !== undefined && change.since === value)
        failed(`the generation is still ${value} though a field has changed`, change.read);
      else if (change !== undefined) passed();
      change = undefined;
      generation = value;
    },
    'config.write': forget,
    'status.write': forget,
  };
}
