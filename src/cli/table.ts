import Table from 'cli-table3';

/** A table for people: in colour on a terminal, plain elsewhere. */
export function makeTable(head: readonly string[]): Table.Table {
  const plain = !process.stdout.isTTY || process.env['NO_COLOR'] !== undefined;
  return new Table({ head: [...head], ...(plain ? { style: { head: [], border: [] } } : {}) });
}
