import type { Said } from './step.ts';

/** What differs between the model and the code, after one step. */
export class Difference extends Error {
  constructor(what: string, inModel: unknown, inCode: unknown) {
    super(`${what}: ${JSON.stringify(inModel)} in the model, ${JSON.stringify(inCode)} in the code`);
    this.name = 'Difference';
  }
}

export function compare(what: string, inModel: unknown, inCode: unknown): void {
  if (inModel !== inCode) throw new Difference(what, inModel, inCode);
}

/**
 * The same for two lists of words that mean the same: a word for each letter, no status that was shown before, requests that are
 * lost together in any order, and at the end what became of promises, which is told a little later.
 */
export function asText(shown: number, said: readonly Said[]): string {
  const words: string[] = [];
  const late: string[] = [];
  let status = `status ${shown.toString(16).padStart(2, '0')}`;
  for (const word of said) {
    if (word.startsWith('status')) {
      if (word !== status) words.push(word);
      status = word;
    } else if (word.startsWith('pause')) late.push(word);
    else if (/^(take|use|expose|seen|lost) /.test(word)) {
      const [what, letters] = word.split(' ');
      for (const letter of letters!) words.push(`${what} ${letter}`);
    } else words.push(word);
  }
  return [...sortedLosses(words), ...late].join(', ');
}

function sortedLosses(words: readonly string[]): string[] {
  const sorted: string[] = [];
  let lost: string[] = [];
  for (const word of words) {
    if (word.startsWith('lost')) lost.push(word);
    else {
      sorted.push(...lost.sort(), word);
      lost = [];
    }
  }
  return [...sorted, ...lost.sort()];
}
