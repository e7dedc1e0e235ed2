export * from './judge.ts';
export * from './perfetto.ts';
export * from './rule.ts';
export { requirements, rules } from './rules.ts';
export type * from './trace.ts';
export * from './trace-format.ts';
