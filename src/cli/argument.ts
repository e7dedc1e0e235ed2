import { InvalidArgumentError } from 'commander';

/** For commander: a whole number in decimal, from `least` to `most`. */
export function wholeNumber(least: number, most: number = Number.MAX_SAFE_INTEGER): (text: string) => number {
  return (text) => {
    const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
    if (value >= least && value <= most) return value;
    const range = most === Number.MAX_SAFE_INTEGER ? `from ${least} on` : `from ${least} to ${most}`;
    throw new InvalidArgumentError(`a whole number ${range} is needed.`);
  };
}

/** For commander: a path that is not empty, as one of an unset variable is. */
export function fileName(text: string): string {
  if (text === '') throw new InvalidArgumentError('it names no file.');
  return text;
}
