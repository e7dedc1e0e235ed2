import { describe, expect, it } from 'vitest';
import type { TraceEvent } from '../../../src/monitor/trace.ts';
import { formatLine, TraceReader } from '../../../src/monitor/trace-format.ts';
import { available, enable, header, kick, read, starts, touch, used } from '../../support/trace-events.ts';

function readAll(lines: readonly string[]): { reader: TraceReader; events: TraceEvent[] } {
  const reader = new TraceReader();
  const events = lines.map((line) => reader.read(line)).filter((event) => event !== undefined);
  return { reader, events };
}

const first = formatLine(header());

describe('a trace', () => {
  it('is read as it was written', () => {
    const events: TraceEvent[] = [
      ...starts(43),
      { ...kick(), time: 12.5 },
      available(0),
      touch('driver', 'write'),
      used(),
      { kind: 'buffer.contents', by: 'driver', queue: 0, id: 1, table: '', head: '00ff' },
      { kind: 'mmio', access: 'write', offset: 0x70, width: 4, value: 1 },
      { kind: 'pci', access: 'read', structure: 'common', offset: 20, width: 1, value: 0 },
      { kind: 'restored', status: 0x1b, features: '80100000000' },
    ];
    const over = { text: 'v1', title: 'a test' } as const;
    const { reader, events: found } = readAll([header(over), ...events].map(formatLine));
    expect(reader.bad).toEqual([]);
    expect(reader.header).toEqual(header(over));
    expect(found).toEqual(events);
  });

  it('may have empty lines, which count', () => {
    const { reader, events } = readAll([first, '', formatLine(read(1)), 'nonsense']);
    expect(events).toEqual([read(1)]);
    expect(reader.bad).toEqual([{ line: 4, message: 'it is no JSON object' }]);
  });

  it.each([
    ['[]', 'it is no JSON object'],
    ['{"kind":"dance"}', 'there is no event of the kind "dance"'],
    ['{"kind":"toString"}', 'there is no event of the kind "toString"'],
    ['{"value":1}', 'there is no event of the kind undefined'],
    ['{"kind":"status.read"}', 'status.read: value is a whole number from 0 to 255, not undefined'],
    ['{"kind":"status.read","value":256}', 'status.read: value is a whole number from 0 to 255, not 256'],
    ['{"kind":"status.read","value":1,"valeu":2}', 'status.read: it has no member valeu'],
    ['{"kind":"kick","queue":"0"}', 'kick: queue is a whole number from 0 to 65535, not "0"'],
    ['{"kind":"kick","queue":0,"time":-1}', 'kick: time is microseconds, from 0 on, not -1'],
    ['{"kind":"interrupt","cause":"fun"}', 'interrupt: cause is one of "used", "config", not "fun"'],
    [
      '{"kind":"restored","status":15,"features":"XY"}',
      'restored: features is a feature set in hexadecimal, lower case, not "XY"',
    ],
  ])('has no line like %s', (line, message) => {
    const { reader, events } = readAll([first, line, formatLine(enable())]);
    expect(reader.bad).toEqual([{ line: 2, message }]);
    expect(events).toEqual([enable()]);
  });

  it.each([
    ['{"trace":"other","version":1,"transport":"pci","device":2}', 'trace is one of "virtio", not "other"'],
    ['{"trace":"virtio","version":2,"transport":"pci","device":2}', 'version is one of 1, not 2'],
    [
      '{"trace":"virtio","version":1,"transport":"usb","device":2}',
      'transport is one of "direct", "pci", "mmio", not "usb"',
    ],
    ['{"kind":"kick","queue":0}', 'it has no member kind'],
    ['hello', 'it is no JSON object'],
  ])('does not begin with %s', (line, message) => {
    const { reader, events } = readAll([line, formatLine(kick()), 'more']);
    expect(reader.header).toBeUndefined();
    expect(reader.bad).toEqual([{ line: 1, message: `a trace begins with a header: ${message}` }]);
    expect(events).toEqual([]);
  });
});
