/**
 * Lines of ours in the source of another project, which is not kept: each insertion names a definition in a C file and a
 * place in it, so that it finds its way into any version that still has that definition.
 */
import { StateError } from '../spec/fault.ts';

export interface Insertion {
  /** Relative to the root of the source tree. */
  readonly file: string;
  /**
   * The name of a function or of an object with an initializer, defined at the outermost level of the file. Of several names
   * the first that is defined, for versions in which a function got another one. Without a name the file as a whole, which
   * need not be C then, and of which there is only the `end`.
   */
  readonly in?: string | readonly string[];
  /**
   * `start` and `end` are within the braces of the definition; `before` and `after` are outside of it, or at the `line` that
   * is given.
   */
  readonly at: 'start' | 'end' | 'before' | 'after';
  /** How exactly one line within the definition begins, but for white space. */
  readonly line?: string;
  readonly lines: readonly string[];
}

/** Lines to put in front of line `before` of a text, counted from 0. */
interface Place {
  readonly before: number;
  readonly lines: readonly string[];
}

/** The text of one file with its insertions. Throws StateError that names the file and the definition that is not as expected. */
export function insertInto(text: string, insertions: readonly Insertion[]): string {
  const lines = text.split('\n');
  for (const { before, lines: added } of places(text, insertions).reverse()) lines.splice(before, 0, ...added);
  return lines.join('\n');
}

/** The same as a unified diff, for `patch -p1`. */
export function insertionsAsDiff(file: string, text: string, insertions: readonly Insertion[]): string {
  const CONTEXT = 3;
  const source = text.split('\n');
  const last = text.endsWith('\n') ? source.length - 1 : source.length;
  const hunks: string[] = [];
  let shift = 0;
  const rest = places(text, insertions);
  for (let first = rest.shift(); first !== undefined; first = rest.shift()) {
    const group = [first];
    while (rest[0] !== undefined && rest[0].before - group.at(-1)!.before <= 2 * CONTEXT) group.push(rest.shift()!);
    const from = Math.max(0, first.before - CONTEXT);
    const to = Math.min(last, group.at(-1)!.before + CONTEXT);
    const body: string[] = [];
    for (let at = from; at <= to; at++) {
      for (const { before, lines } of group) if (before === at) body.push(...lines.map((line) => `+${line}`));
      if (at < to) body.push(` ${source[at]}`);
    }
    const added = group.reduce((sum, { lines }) => sum + lines.length, 0);
    hunks.push(`@@ -${from + 1},${to - from} +${from + 1 + shift},${to - from + added} @@`, ...body);
    shift += added;
  }
  return hunks.length === 0 ? '' : `${[`--- a/${file}`, `+++ b/${file}`, ...hunks].join('\n')}\n`;
}

/** A file that is not in the source tree, as a unified diff. */
export function newFileAsDiff(file: string, text: string): string {
  const lines = text.replace(/\n$/, '').split('\n');
  return `${['--- /dev/null', `+++ b/${file}`, `@@ -0,0 +1,${lines.length} @@`, ...lines.map((line) => `+${line}`)].join('\n')}\n`;
}

/** In the order of the text; those for one place in the order in which they were given. */
function places(text: string, insertions: readonly Insertion[]): Place[] {
  const lines = text.split('\n');
  return insertions
    .map((insertion) => ({ before: placeOf(lines, insertion), lines: insertion.lines }))
    .sort((a, b) => a.before - b.before);
}

function placeOf(lines: readonly string[], insertion: Insertion): number {
  const { at, line: wanted } = insertion;
  if (insertion.in === undefined) return lines.at(-1) === '' ? lines.length - 1 : lines.length;
  const { first, open, close } = definitionOf(lines, insertion);
  if (wanted !== undefined) {
    if (at !== 'before' && at !== 'after') throw refusal(insertion, `at "${at}" does not go with a line`);
    const found: number[] = [];
    for (let at = open + 1; at < close; at++) if (lines[at]!.trimStart().startsWith(wanted)) found.push(at);
    if (found.length !== 1) throw refusal(insertion, `${found.length} lines begin with "${wanted}" instead of one`);
    return at === 'before' ? found[0]! : endOfStatement(lines, found[0]!) + 1;
  }
  return { before: first, start: open + 1, end: close, after: close + 1 }[at];
}

interface Definition {
  readonly first: number;
  /** The line with the opening brace, and that with the closing one. */
  readonly open: number;
  readonly close: number;
}

function definitionOf(lines: readonly string[], insertion: Insertion): Definition {
  const names = [insertion.in ?? []].flat();
  const found = names.map((name) => definitionsOf(lines, name)).find((some) => some.length > 0) ?? [];
  if (found.length !== 1) throw refusal(insertion, `it is defined ${found.length} times instead of once`);
  return found[0]!;
}

/** Declarations do not count. */
function definitionsOf(lines: readonly string[], name: string): Definition[] {
  const head = new RegExp(`^(?:[A-Za-z_][^;={}]*[^\\w;={}])?${name}\\s*(?:\\(|\\[[^\\]]*\\]\\s*=|=)`);
  const found: Definition[] = [];
  for (const [at, line] of lines.entries()) {
    if (!head.test(line)) continue;
    const open = lines.findIndex((text, index) => index >= at && /[{;]/.test(text));
    if (open < 0 || !lines[open]!.trimEnd().endsWith('{')) continue;
    const close = lines.findIndex((text, index) => index > open && text.startsWith('}'));
    if (close < 0) continue;
    // The type of a function may have a line of its own.
    const first = line.startsWith(name) && /^[A-Za-z_][\w *]*$/.test(lines[at - 1] ?? '') ? at - 1 : at;
    found.push({ first, open, close });
  }
  return found;
}

function endOfStatement(lines: readonly string[], from: number): number {
  return lines.findIndex((text, index) => index >= from && text.includes(';'));
}

function refusal(insertion: Insertion, why: string): StateError {
  return new StateError(
    `${insertion.file}: nothing can be inserted at ${String(insertion.in)}: ${why}. This kernel's source is not one that the insertions were made for`,
  );
}
