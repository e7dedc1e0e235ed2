import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { type Insertion, insertInto, insertionsAsDiff, newFileAsDiff } from '../../../src/machine/source-insertions.ts';
import { StateError } from '../../../src/spec/fault.ts';
import { temporaryFolder } from './temporary-folder.ts';

const folder = temporaryFolder();
const hasPatch = spawnSync('patch', ['--version']).status === 0;

const SOURCE = `#include <one.h>

static int probe(struct device *dev);

static ssize_t
store(struct device *dev, const char *text,
      size_t count)
{
	int value = parse(text);

	if (value < 0) {
		return value;
	}
	write8(dev, OFFSET,
	       value);
	return probe(dev);
}

static int probe(struct device *dev)
{
	return store(dev, NULL, 0);
}

static const unsigned int features[] = {
	ONE,
};

static struct driver a_driver = {
	.probe = probe,
};
`;

function insertion(place: Omit<Insertion, 'file' | 'lines'>, ...lines: string[]): Insertion {
  return { file: 'drivers/a.c', lines: lines.length === 0 ? ['/* ours */'] : lines, ...place };
}

/** The line before and the line after the inserted one. */
function around(place: Omit<Insertion, 'file' | 'lines'>): [string | undefined, string | undefined] {
  const lines = insertInto(SOURCE, [insertion(place)]).split('\n');
  const at = lines.indexOf('/* ours */');
  return [lines[at - 1], lines[at + 1]];
}

describe('a line of ours goes', () => {
  it('before and behind a function, however its head is written', () => {
    expect(around({ in: 'store', at: 'before' })).toEqual(['', 'static ssize_t']);
    expect(around({ in: 'store', at: 'after' })).toEqual(['}', '']);
    expect(around({ in: 'probe', at: 'before' })).toEqual(['', 'static int probe(struct device *dev)']);
  });

  it('to the start and the end of what is between the braces', () => {
    expect(around({ in: 'store', at: 'start' })).toEqual(['{', '\tint value = parse(text);']);
    expect(around({ in: 'probe', at: 'end' })).toEqual(['\treturn store(dev, NULL, 0);', '}']);
    expect(around({ in: 'features', at: 'start' })).toEqual(['static const unsigned int features[] = {', '\tONE,']);
    expect(around({ in: 'a_driver', at: 'end' })).toEqual(['\t.probe = probe,', '};']);
  });

  it('before and behind a statement of a function, of several lines too', () => {
    expect(around({ in: 'store', at: 'before', line: 'write8(' })).toEqual(['\t}', '\twrite8(dev, OFFSET,']);
    expect(around({ in: 'store', at: 'after', line: 'write8(' })).toEqual(['\t       value);', '\treturn probe(dev);']);
  });
});

it('the end of a file of another kind takes lines too', () => {
  const insertion = { file: 'Makefile', at: 'end', lines: ['obj-m += b.o'] } as const;
  expect(insertInto('obj-m += a.o\n', [insertion])).toBe('obj-m += a.o\nobj-m += b.o\n');
  expect(insertionsAsDiff('Makefile', 'obj-m += a.o\n', [insertion])).toContain(
    '@@ -1,1 +1,2 @@\n obj-m += a.o\n+obj-m += b.o\n',
  );
});

it('of several names the first that is defined counts', () => {
  expect(around({ in: ['save', 'probe', 'store'], at: 'end' })).toEqual(['\treturn store(dev, NULL, 0);', '}']);
});

describe('a source that is not as expected', () => {
  const cases: [string, Omit<Insertion, 'file' | 'lines'>, RegExp][] = [
    ['has no such function', { in: 'prob', at: 'end' }, /^drivers\/a\.c: .* at prob: it is defined 0 times/],
    ['has no such object', { in: 'driver', at: 'end' }, /driver: it is defined 0 times/],
    ['lacks the line', { in: 'probe', at: 'after', line: 'write8(' }, /probe: 0 lines begin with "write8\("/],
    ['has the line twice', { in: 'store', at: 'after', line: 'return' }, /store: 2 lines begin with "return"/],
  ];
  for (const [what, place, message] of cases) {
    it(`${what}: which file and which name is said`, () => {
      expect(() => insertInto(SOURCE, [insertion(place)])).toThrow(StateError);
      expect(() => insertInto(SOURCE, [insertion(place)])).toThrow(message);
    });
  }

  it('defines it twice', () => {
    const twice = `${SOURCE}\nstatic int probe(void)\n{\n}\n`;
    expect(() => insertInto(twice, [insertion({ in: 'probe', at: 'end' })])).toThrow('defined 2 times');
  });
});

it('insertions for one place stay in their order', () => {
  const text = insertInto(SOURCE, [
    insertion({ in: 'features', at: 'start' }, '\tTWO,'),
    insertion({ in: 'store', at: 'start' }, '\tint other;'),
    insertion({ in: 'features', at: 'start' }, '\tTHREE,'),
  ]);
  expect(text).toContain('features[] = {\n\tTWO,\n\tTHREE,\n\tONE,\n};');
  expect(text).toContain('{\n\tint other;\n\tint value');
});

it.skipIf(!hasPatch)('the diff makes of the source what the insertions make of it', () => {
  const insertions = [
    insertion({ in: 'features', at: 'start' }, '\tTWO,', '\tTHREE,'),
    insertion({ in: 'a_driver', at: 'end' }, '\t.remove = remove,'),
    insertion({ in: 'store', at: 'before', line: 'write8(' }, '\tlock(dev);'),
    insertion({ in: 'store', at: 'after', line: 'write8(' }, '\tunlock(dev);'),
    insertion({ in: 'a_driver', at: 'after' }, '', 'module(a_driver);'),
  ];
  mkdirSync(folder.path('tree/drivers'), { recursive: true });
  writeFileSync(folder.path('tree/drivers/a.c'), SOURCE);
  const diff =
    insertionsAsDiff('drivers/a.c', SOURCE, insertions) + newFileAsDiff('include/b.h', '#define B\n\nint b;\n');
  execFileSync('patch', ['-p1', '--fuzz=0'], { cwd: folder.path('tree'), input: diff });
  expect(readFileSync(folder.path('tree/drivers/a.c'), 'utf8')).toBe(insertInto(SOURCE, insertions));
  expect(readFileSync(folder.path('tree/include/b.h'), 'utf8')).toBe('#define B\n\nint b;\n');
  expect(insertionsAsDiff('drivers/a.c', SOURCE, [])).toBe('');
});
