// The passages of the sources that `npm run mutation` changes: a member of a class, or whatever else stands alone in a file.
// No change that Stryker makes reaches over the end of one.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './setup.mjs';

/** Passages of all files in `folders`, each with its first line, from 1 on, and its text. */
export function passagesOf(folders) {
  const files = folders.flatMap((folder) => readdirSync(join(root, folder)).map((file) => `${folder}/${file}`));
  return files.flatMap((file) => {
    const lines = readFileSync(join(root, file), 'utf8').split('\n');
    const starts = [0];
    let inClass = false;
    for (const [at, line] of lines.entries()) {
      if (/^\S/.test(line)) inClass = /^(export )?class /.test(line) || (inClass && !line.startsWith('}'));
      if (line === '' && (inClass ? /^ {0,2}\S/ : /^\S/).test(lines[at + 1] ?? '')) starts.push(at + 1);
    }
    return starts.map((start, n) => {
      const end = starts[n + 1] ?? lines.length;
      return { file, first: start + 1, last: end, text: lines.slice(start, end).join('\n') };
    });
  });
}

/** One of `count` parts of these passages, of about the same length each, as chance would have it that `seed` decides. */
export function part(passages, number, count, seed) {
  const parts = Array.from({ length: count }, () => ({ length: 0, passages: [] }));
  for (const passage of shuffled(passages, seed)) {
    const shortest = parts.reduce((a, b) => (b.length < a.length ? b : a));
    shortest.passages.push(passage);
    shortest.length += passage.text.replaceAll(/^\s*(\/\*\*|\*|\/\/).*$/gm, '').length;
  }
  return parts[number - 1].passages;
}

function shuffled(items, seed) {
  const random = mulberry32(seed);
  const result = [...items];
  for (let at = result.length - 1; at > 0; at--) {
    const other = Math.floor(random() * (at + 1));
    [result[at], result[other]] = [result[other], result[at]];
  }
  return result;
}

/** Numbers from 0 up to 1, the same ones for the same seed. */
function mulberry32(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}
