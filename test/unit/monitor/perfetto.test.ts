import { expect, it } from 'vitest';
import { PerfettoExport } from '../../../src/monitor/perfetto.ts';
import { goesOn, header, kick, resumes, suspends } from '../../support/trace-events.ts';

it('a trace as a picture has the phases as slices and the events as moments', () => {
  const exported = new PerfettoExport(header());
  const events = [...goesOn(), ...suspends, ...resumes, { ...kick(), time: 100 }];
  for (const [index, event] of events.entries()) exported.follow(event, index + 2);
  const { traceEvents } = exported.end();
  expect(JSON.parse(JSON.stringify(traceEvents))).toEqual(traceEvents);
  const slices = traceEvents
    .filter(({ ph }) => ph === 'X')
    .map(({ tid, name, ts, dur }) => `${tid} ${name} ${ts}+${dur}`);
  expect(slices).toEqual([
    '3 running 1+2',
    '1 running 2+1',
    '3 suspending 3+1',
    '1 suspending 3+1',
    '3 suspended 4+1',
    '1 suspended 4+1',
    '3 resuming 5+1',
    '1 resuming 5+1',
    '3 running 6+94',
    '1 running 6+94',
  ]);
  const moments = traceEvents.filter(({ ph }) => ph === 'i');
  expect(moments.map(({ args }) => args['line'])).toEqual([2, 3, 4, 5, 6, 7, 8]);
  expect(moments.at(-1)).toMatchObject({ name: 'kick 0', ts: 100, tid: 2 });
});
