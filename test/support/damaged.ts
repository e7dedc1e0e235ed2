export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

/** Every value that differs from `value` in one place. */
export function* damaged(value: Json): Generator<{ value: Json; where: string }> {
  if (typeof value === 'object' && value !== null) {
    for (const key of Object.keys(value)) {
      const inner = (value as Record<string, Json>)[key]!;
      const replace = (part: Json): Json =>
        Array.isArray(value) ? value.map((each, n) => (String(n) === key ? part : each)) : { ...value, [key]: part };
      for (const { value: part, where } of damaged(inner)) yield { value: replace(part), where: `${key}.${where}` };
      const rest = Object.entries(value).filter(([name]) => name !== key);
      const without = Array.isArray(value) ? rest.map(([, each]) => each) : Object.fromEntries(rest);
      yield { value: without as Json, where: `${key} is gone` };
    }
  }
  const others: Json[] = [null, true, false, 0, 1, -1, 0.5, 2, 17, 0xffff, 2 ** 32, 2 ** 64, 'x', '', [], {}];
  if (typeof value === 'number') others.push(value + 1, value - 1, -value);
  if (typeof value === 'string')
    others.push(`${value}0`, value.slice(1), 'suspending', 'running', 'needsReset', 'packed');
  for (const other of others) {
    if (JSON.stringify(other) !== JSON.stringify(value)) yield { value: other, where: `= ${JSON.stringify(other)}` };
  }
}
