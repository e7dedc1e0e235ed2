import { describe, expect, it } from 'vitest';
import { PerfettoExport } from '../../../src/monitor/perfetto.ts';
import { TraceReader } from '../../../src/monitor/trace-format.ts';
import { recordBlock } from '../../support/recorded-rig.ts';
import { goesOn, header, kick, resumes, suspends } from '../../support/trace-events.ts';

type Picture = ReturnType<PerfettoExport['end']>['traceEvents'];

/** The rows by their numbers, each with the phases that follow each other in it. */
function phasesIn(picture: Picture): Record<string, string[]> {
  const slices = picture.filter(({ ph }) => ph === 'X');
  const rows = [...new Set(slices.map(({ tid }) => tid))];
  return Object.fromEntries(rows.map((row) => [row, slices.filter(({ tid }) => tid === row).map(({ name }) => name)]));
}

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

describe.each(['direct', 'pci', 'mmio'] as const)('a picture of our block device over %s', (way) => {
  async function picture(): Promise<Picture> {
    const { driver, lines } = await recordBlock(way, { driver: { queueSize: 8 } });
    await driver.initialize();
    await driver.read(3, 512);
    await driver.suspend();
    await driver.resume();
    await driver.driver.reset();
    const reader = new TraceReader();
    let exported: PerfettoExport | undefined;
    for (const line of lines) {
      const event = reader.read(line);
      exported ??= new PerfettoExport(reader.header!);
      // The clock of the test stands still; without times the events are a microsecond apart.
      if (event !== undefined) exported.follow({ ...event, time: undefined }, reader.line);
    }
    return exported!.end().traceEvents;
  }

  it('has the phases of both ends', async () => {
    const { 1: driver, 3: device } = phasesIn(await picture());
    const life = ['initializing', 'running', 'suspending', 'suspended', 'resuming', 'running'];
    expect(driver!.filter((phase) => phase !== 'reset')).toEqual(life);
    // Within one write the device is through, and back again.
    expect(device!.filter((phase) => !phase.startsWith('reset'))).toEqual(
      expect.arrayContaining(['initializing', 'running', 'suspended']),
    );
  });

  it('calls what happens by what it means, in the row of whoever does it', async () => {
    const moments = (await picture()).filter(({ ph }) => ph === 'i');
    const rows = (name: RegExp): number[] => [
      ...new Set(moments.filter((m) => name.test(m.name)).map(({ tid }) => tid)),
    ];
    expect(rows(/^status\.write .*DRIVER_OK.*SUSPEND \(0x1f\)$/)).toEqual([2]);
    expect(rows(/^status\.shown .*SUSPEND \(0x1b\)$/)).toEqual([4]);
    expect(rows(/^kick 0$/)).toEqual([2]);
    expect(rows(/^queue\.enable 0$/)).toEqual([2]);
    expect(rows(/^features\.driver 32\+: 0x/)).toEqual([2]);
    expect(rows(/^buffer\.available 0:\d+$/)).toEqual([2]);
    expect(rows(/^buffer\.used 0:\d+$/)).toEqual([4]);
    expect(rows(/^config\.read \d+: \d+$/)).toEqual([2]);
    const nameless = moments.filter(({ name }) =>
      /^(read|write) (?!ring|space|isr|common|notify|device|[A-Z_]+(\+4)?$)/.test(name),
    );
    expect(nameless).toEqual([]);
    expect(moments.filter(({ name }) => ['pci', 'mmio', 'memory'].includes(name))).toEqual([]);
  });

  it('keeps the access to a register with what it means', async () => {
    const reset = (await picture()).find(({ name }) => name.startsWith('status.write'));
    const register = {
      direct: undefined,
      pci: { kind: 'pci', structure: 'common', offset: 20 },
      mmio: { kind: 'mmio', offset: 0x70 },
    };
    if (way === 'direct') expect(reset!.args).not.toHaveProperty('register');
    else expect(reset!.args['register']).toMatchObject(register[way]);
  });
});
