/** `virtio check trace`: the verdicts, in every form, and what is no trace. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { TraceEvent } from '../../src/monitor/trace.ts';
import { formatLine } from '../../src/monitor/trace-format.ts';
import { DEVICE_CASES } from '../support/device-case-count.ts';
import { readJunit } from '../support/junit-xml.ts';
import { goesOn, header, kick, resumes, suspends, write } from '../support/trace-events.ts';
import { keepVerdicts } from '../support/verdicts.ts';
import { program, Running, virtio, workFolder } from './virtio.ts';

const folder = workFolder();

function traceFile(name: string, events: readonly TraceEvent[], more: readonly string[] = []): string {
  const file = folder.path(name);
  writeFileSync(file, [formatLine(header()), ...events.map(formatLine), ...more].join('\n'));
  return file;
}

describe('virtio check trace', () => {
  it('ends well when every MUST is kept', async () => {
    const file = traceFile('good.jsonl', [...goesOn(), ...suspends, ...resumes, kick()]);
    const { code, stdout, stderr } = await virtio(['check', 'trace', file]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toMatch(/suspend\.driver\.4 .* pass/);
    expect(stdout).toMatch(/^8 lines, judged by VIRTIO 1\.4: \d+ pass, 0 fail, 0 warning/m);
  });

  it('ends with 1 when one is broken, and shows the lines, in every form', async () => {
    const file = traceFile('bad.jsonl', [...goesOn(), ...suspends, kick()]);
    const [json, xml, picture] = ['report.json', 'report.xml', 'picture.json'].map((name) => folder.path(name));
    const args = ['check', 'trace', file, '--json', json!, '--junit', xml!, '--perfetto', picture!];
    const { code, stdout } = await virtio(args);
    expect(code).toBe(1);
    expect(stdout).toContain('FAILED suspend.driver.4');
    expect(stdout).toContain('line 5, 6: a queue is kicked while the driver is suspended');
    const { ok, rules } = JSON.parse(readFileSync(json!, 'utf8'));
    expect(ok).toBe(false);
    const failed = rules.filter(({ result }: { result: string }) => result === 'fail');
    expect(failed).toMatchObject([{ id: 'suspend.driver.4', failures: [{ events: [{ line: 5 }, { line: 6 }] }] }]);
    const { cases } = readJunit(readFileSync(xml!, 'utf8'));
    const details = 'line 5, 6: a queue is kicked while the driver is suspended';
    expect(cases.filter(({ result }) => result === 'failure')).toMatchObject([
      { message: 'suspend.driver.4', details },
    ]);
    const { traceEvents } = JSON.parse(readFileSync(picture!, 'utf8'));
    expect(traceEvents.some(({ name }: { name: string }) => name === 'kick 0')).toBe(true);
  });

  it('only warns of what SHOULD be, and judges by the text that it is told', async () => {
    const warned = await virtio(['check', 'trace', traceFile('warn.jsonl', [...goesOn(0x0f, 28), write(0x1f)])]);
    expect(warned.code).toBe(0);
    expect(warned.stdout).toContain('warning suspend.driver.1');
    const hasty = traceFile('hasty.jsonl', [...goesOn(0x1b), write(0x1f), kick()]);
    expect((await virtio(['check', 'trace', hasty])).code).toBe(1);
    expect((await virtio(['check', 'trace', hasty, '--text', 'v1'])).code).toBe(0);
  });

  it('names lines that are no events, and files that are no traces', async () => {
    const lines = traceFile('lines.jsonl', goesOn(), ['{"kind":"dance"}']);
    const xml = folder.path('lines.xml');
    const bad = await virtio(['check', 'trace', lines, '--junit', xml]);
    expect(bad.code).toBe(1);
    const failed = readJunit(readFileSync(xml, 'utf8')).cases.filter(({ result }) => result === 'failure');
    expect(failed).toMatchObject([{ suite: 'lines', name: 'line 4' }]);
    expect(bad.stdout).toContain('line 4 is no event: there is no event of the kind "dance"');
    const none = folder.path('none.txt');
    writeFileSync(none, 'hello\n');
    const noTrace = await virtio(['check', 'trace', none]);
    expect(noTrace).toMatchObject({ code: 1, stdout: '' });
    expect(noTrace.stderr).toContain('none.txt is no trace: line 1: a trace begins with a header');
    expect((await virtio(['check', 'trace', folder.path('missing')])).stderr).toContain('cannot read the trace');
  });

  it('is read to its end by whoever is slow', async () => {
    const lines = Array.from({ length: 2000 }, () => '{"kind":"dance"}');
    const file = traceFile('long.jsonl', goesOn(), lines);
    const slowly = new Running('sh', [
      '-c',
      '"$0" "$@" | (sleep 2; cat)',
      process.execPath,
      program,
      'check',
      'trace',
      file,
    ]);
    const { stdout, stderr } = await slowly.ended;
    expect(stderr).toBe('');
    expect(stdout.length).toBeGreaterThan(100_000);
    expect(stdout).toMatch(/^2003 lines, judged by VIRTIO 1\.4: /m);
  });

  it('shows how far it is in a large file', async () => {
    const read: TraceEvent = { kind: 'status.read', value: 0x0f };
    const file = traceFile('large.jsonl', [...goesOn(), ...Array.from({ length: 150_000 }, () => read)]);
    const { code, stdout, stderr } = await virtio(['check', 'trace', file]);
    expect(code).toBe(0);
    expect(stdout).toContain('150003 lines, judged by');
    expect(stderr).toContain(`The trace ${file}`);
    expect(stderr).toMatch(/judged \d+%: line \d+000/);
  });

  it('refuses a command line that makes no sense', async () => {
    expect((await virtio(['check', 'trace'])).code).toBe(2);
    expect((await virtio(['check', 'trace', 'x', '--text', 'v2'])).code).toBe(2);
    expect((await virtio(['check'])).code).toBe(2);
  });
});

/** A picture of each case, with phases of both ends, but where one of them has none. */
function expectPictures(path: string, cases: number): void {
  const pictures = readdirSync(path).map((name) => JSON.parse(readFileSync(join(path, name), 'utf8')));
  expect(pictures.length).toBe(cases);
  const rowsOf = ({ traceEvents }: { traceEvents: { ph: string; tid: number }[] }): number[] =>
    traceEvents.filter(({ ph }) => ph === 'X').map(({ tid }) => tid);
  expect(pictures.filter((picture) => !rowsOf(picture).includes(1) || !rowsOf(picture).includes(3))).toEqual([]);
}

describe('virtio check device', () => {
  // Calls have no registers to read.
  it.each([
    ['loopback', 4],
    ['pci', 0],
    ['mmio', 0],
  ])('judges our devices over %s', async (way, skipped) => {
    const [json, xml] = [folder.path(`${way}.json`), folder.path(`${way}.xml`)];
    const pictures = folder.path(`pictures-${way}`);
    const options = ['--json', json, '--junit', xml, '--perfetto', pictures];
    const { code, stdout, stderr } = await virtio(['check', 'device', way, ...options]);
    expect({ code, failed: stdout.match(/\d+ cases, \d+ failed/)?.[0] }).toEqual({
      code: 0,
      failed: `${DEVICE_CASES} cases, 0 failed`,
    });
    expect(stderr).toContain(`The devices over ${way}`);
    const report = readFileSync(json, 'utf8');
    keepVerdicts(
      `ours-${way}`,
      { name: `ours, ${way}`, role: 'device', command: `virtio check device ${way}` },
      report,
    );
    const { ok, rules } = JSON.parse(report);
    expect(ok).toBe(true);
    const suspend = rules.filter(({ id }: { id: string }) => id.startsWith('suspend.device'));
    expect(suspend.length).toBe(14);
    expect(suspend.filter(({ result }: { result: string }) => result !== 'pass')).toEqual([]);
    const { cases } = readJunit(readFileSync(xml, 'utf8'));
    const run = cases.filter(({ suite, result }) => suite === 'cases' && result === 'pass');
    expect({ run: run.length, failed: cases.filter(({ result }) => result === 'failure') }).toEqual({
      run: DEVICE_CASES - skipped,
      failed: [],
    });
    expectPictures(pictures, DEVICE_CASES - skipped);
  });

  it('knows the ways that there are', async () => {
    expect((await virtio(['check', 'device'])).code).toBe(2);
    expect((await virtio(['check', 'device', 'carrier pigeon'])).code).toBe(2);
  });
});

describe('virtio check driver', () => {
  it.each([
    ['loopback', 'our-driver', 'our driver'],
    ['pci', 'our-driver-pci', 'our driver, pci'],
    ['mmio', 'our-driver-mmio', 'our driver, mmio'],
  ])('judges our block driver over %s, with lawful devices and failing ones, and keeps the traces', async (...of) => {
    const [way, file, name] = of;
    const [json, traces] = [folder.path(`driver-${way}.json`), folder.path(`traces-${way}`)];
    const pictures = folder.path(`pictures-driver-${way}`);
    const options = ['--json', json, '--traces', traces, '--perfetto', pictures];
    const { code, stdout } = await virtio(['check', 'driver', way, ...options]);
    expect({ code, failed: stdout.match(/\d+ cases, \d+ failed/)?.[0] }).toEqual({
      code: 0,
      failed: '60 cases, 0 failed',
    });
    const report = readFileSync(json, 'utf8');
    keepVerdicts(file, { name, role: 'driver', command: `virtio check driver ${way}` }, report);
    const { rules } = JSON.parse(report);
    expect((await virtio(['check', 'trace', `${traces}/case-005.jsonl`])).code).toBe(0);
    expectPictures(pictures, 60);
    const suspend = rules.filter(({ id }: { id: string }) => id.startsWith('suspend.driver'));
    expect(suspend.length).toBe(7);
    expect(suspend.filter(({ result }: { result: string }) => result !== 'pass')).toEqual([]);
  });

  it('knows the drivers that there are', async () => {
    expect((await virtio(['check', 'driver'])).code).toBe(2);
    expect((await virtio(['check', 'driver', 'telegraph'])).code).toBe(2);
    expect((await virtio(['check', 'driver', 'linux', '--kernel', 'x'])).code).toBe(2);
  });
});
