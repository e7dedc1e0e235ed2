import { describe, expect, it } from 'vitest';
import { Judge, type Verdict } from '../../../src/monitor/judge.ts';
import type { Rule } from '../../../src/monitor/rule.ts';
import { rules } from '../../../src/monitor/rules.ts';
import type { TextVersion, TraceEvent } from '../../../src/monitor/trace.ts';
import { Mmio } from '../../../src/spec/mmio.ts';
import {
  available,
  changed,
  configInterrupt,
  configRead,
  configWrite,
  goesOn,
  header,
  kick,
  read,
  resumes,
  shown,
  starts,
  suspends,
  used,
  usedBuffer,
  write,
} from '../../support/trace-events.ts';

function judge(events: readonly TraceEvent[], text?: TextVersion): Map<string, Verdict> {
  const judge = new Judge(header(), rules, text);
  for (const [index, event] of events.entries()) judge.follow(event, index + 2);
  return new Map(judge.end().map((verdict) => [verdict.rule.id, verdict]));
}

function failures(events: readonly TraceEvent[], text?: TextVersion): string[] {
  return [...judge(events, text).values()].filter(({ result }) => result === 'fail').map(({ rule }) => rule.id);
}

describe('the judge', () => {
  it('says of an empty trace that nothing was exercised', () => {
    expect([...judge([]).values()].filter(({ result }) => result !== 'not exercised')).toEqual([]);
  });

  it('shows the events that led to a failure, in order, by their lines', () => {
    const events = [...goesOn(), write(0x1f), read(0x1b), kick()];
    const [failure] = judge(events).get('suspend.driver.4')!.failures;
    expect(failure!.message).toBe('a queue is kicked while the driver is suspended');
    expect(failure!.events).toEqual([
      { ...read(0x1b), line: 5 },
      { ...kick(), line: 6 },
    ]);
  });

  it('knows when what a register access means has happened, which rules about patience go by', () => {
    const at = (time: number, offset: number, access: 'read' | 'write', value: number): TraceEvent => {
      return { kind: 'mmio', access, offset, width: 4, value, time };
    };
    const followed: unknown[] = [];
    const watch: Rule = {
      ...rules.find(({ id }) => id === 'suspend.device.scan')!,
      check: () => ({ 'status.read': ({ time }) => followed.push(time), kick: ({ time }) => followed.push(time) }),
    };
    const judge = new Judge(header({ transport: 'mmio' }), [watch]);
    judge.follow(at(7, Mmio.STATUS, 'read', 0x0f), 2);
    judge.follow(at(9, Mmio.QUEUE_NOTIFY, 'write', 0), 3);
    expect(followed).toEqual([7, 9]);
  });

  it('counts more failures than it keeps', () => {
    const verdict = judge([...goesOn(0x1b), ...Array.from({ length: 50 }, () => kick())]).get('suspend.driver.4')!;
    expect(verdict.exercised).toBe(50);
    expect(verdict.failures.length).toBe(20);
  });

  it('judges by the patch when told to: it has no wait for the resume, and forbids what is only ill-advised now', () => {
    const hasty = [...goesOn(0x1b), write(0x1f), kick(), read(0x0f)];
    expect(failures(hasty)).toEqual(['suspend.driver.6']);
    expect(failures(hasty, 'v1')).toEqual([]);
    expect(judge([], 'v1').get('suspend.device.2')!.level).toBe('MUST');
    expect(judge([]).get('suspend.device.2')!.level).toBe('SHOULD');
  });
});

describe('lawful ways', () => {
  it.each([
    [
      'both bits while suspending, the old pair while resuming',
      [write(0x1f), read(0x1f), read(0x1b), write(0x1f), read(0x1b), read(0x0f)],
    ],
    [
      'the old pair while suspending, both bits while resuming',
      [write(0x1f), read(0x0f), read(0x1b), write(0x1f), read(0x1f), read(0x0f)],
    ],
    ['a driver that drops DRIVER_OK from its request', [write(0x1f), read(0x1b), write(0x1f), read(0x0f)]],
    [
      'buffers that are used and told while suspending',
      [available(0), kick(), write(0x1f), usedBuffer(0), used(0), read(0x1b)],
    ],
    ['a suspend that fails', [write(0x1f), read(0x4f), configInterrupt, write(0)]],
    ['a resume that fails', [...suspends, write(0x1f), read(0x5b), write(0)]],
    ['a device that fails at rest', [...suspends, shown(0x5b), read(0x5b), write(0)]],
    ['a reset while suspending', [write(0x1f), write(0), read(0)]],
    ['a reset while suspended', [...suspends, write(0), read(0)]],
    [
      'a change that is told before the status is read',
      [...suspends, changed, write(0x1f), configInterrupt, read(0x0f)],
    ],
    [
      'a change that is told after the resume',
      [configRead(0, 5), ...suspends, changed, configRead(0, 5), ...resumes, configInterrupt, configRead(0, 6)],
    ],
    [
      'a suspend right after a resume, before the change is told',
      [...suspends, changed, write(0x1f), shown(0x0f), read(0x0f), ...suspends, ...resumes, configInterrupt],
    ],
    [
      'a field that is written and read back',
      [configRead(32, 0, 1), configWrite(32, 1, 1), configRead(32, 1, 1), ...suspends, configRead(32, 1, 1)],
    ],
    ['FAILED on the way', [write(0x1f), read(0x1f), write(0x9f), read(0x9b), write(0), read(0)]],
  ] as const)('%s', (_, events) => {
    const known = ['suspend.device.8'];
    const found = failures([...goesOn(), ...events]);
    // A driver gives a device up because it did not suspend, and says so.
    expect(found.filter((id) => !known.includes(id) || !events.some((e) => 'value' in e && e.value === 0x9f))).toEqual(
      [],
    );
  });

  it('SUSPEND as the first bit that is written, and ignored', () => {
    expect(failures([write(0), read(0), write(0x10), read(0)])).toEqual(['suspend.driver.1']);
  });

  it('a whole life: two suspends, a reset, another life', () => {
    const life = [
      ...starts(43),
      available(0),
      kick(),
      usedBuffer(0),
      used(0),
      ...suspends,
      ...resumes,
      ...suspends,
      ...resumes,
    ];
    expect(failures([...life, write(0), read(0), ...life])).toEqual([]);
  });
});
