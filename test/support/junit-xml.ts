import { SaxesParser } from 'saxes';

/** A test case as a build server reads it. */
export interface JunitCase {
  readonly suite: string;
  readonly name: string;
  readonly className: string;
  readonly result: 'pass' | 'failure' | 'skipped';
  /** What the failure says in its attribute, and in its text. */
  readonly message: string | undefined;
  readonly details: string;
}

export interface JunitDocument {
  readonly name: string;
  readonly cases: readonly JunitCase[];
}

type Open = { -readonly [Member in keyof JunitCase]: JunitCase[Member] };

/**
 * Reads JUnit XML by a parser that takes nothing which is not well-formed, characters included. Throws for what is none, and where a
 * suite's counts are not those of what is in it.
 */
export function readJunit(xml: string): JunitDocument {
  const parser = new SaxesParser();
  const cases: JunitCase[] = [];
  const open: string[] = [];
  let name: string | undefined;
  let suite: Record<string, string> = {};
  let current: Open | undefined;
  parser.on('error', (error) => {
    throw error;
  });
  parser.on('opentag', ({ name: tag, attributes }) => {
    open.push(tag);
    const path = open.join('/');
    if (path === 'testsuites') name = attributes['name'];
    else if (path === 'testsuites/testsuite') suite = { ...attributes };
    else if (path === 'testsuites/testsuite/testcase') {
      const { name: title = '', classname: className = '' } = attributes;
      current = { suite: suite['name']!, name: title, className, result: 'pass', message: undefined, details: '' };
    } else if (tag === 'failure' || tag === 'skipped') {
      current!.result = tag;
      current!.message = attributes['message'];
    } else if (tag !== 'system-out') throw new Error(`JUnit XML has no ${path}`);
  });
  parser.on('text', (text) => {
    if (current !== undefined && open.length === 4) current.details += text;
  });
  parser.on('closetag', ({ name: tag }) => {
    open.pop();
    if (tag === 'testcase') cases.push(current!);
    if (tag === 'testcase') current = undefined;
    if (tag === 'testsuite')
      requireCounts(
        suite,
        cases.filter((one) => one.suite === suite['name']),
      );
    if (tag === 'testsuites') requireCounts({ ...suite, ...allCounts(xml) }, cases);
  });
  parser.write(xml).close();
  if (name === undefined) throw new Error('there is no element testsuites');
  return { name, cases };
}

/** Those of the whole document. */
function allCounts(xml: string): Record<string, string> {
  const head = xml.match(/<testsuites [^>]*>/)![0];
  return Object.fromEntries(
    [...head.matchAll(/(tests|failures|skipped)="(\d+)"/g)].map(([, key, count]) => [key!, count!]),
  );
}

function requireCounts(said: Readonly<Record<string, string>>, cases: readonly JunitCase[]): void {
  const of = (result: JunitCase['result']): number => cases.filter((one) => one.result === result).length;
  const counted = { tests: cases.length, failures: of('failure'), skipped: of('skipped') };
  for (const [key, count] of Object.entries(counted))
    if (said[key] !== `${count}`) throw new Error(`${said['name']} says ${key}="${said[key]}", and has ${count}`);
}
