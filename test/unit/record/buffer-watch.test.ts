import { describe, expect, it } from 'vitest';
import { GuestMemory } from '../../../src/memory/guest-memory.ts';
import type { BufferContents } from '../../../src/monitor/trace.ts';
import { TraceReader } from '../../../src/monitor/trace-format.ts';
import { BufferWatch } from '../../../src/record/buffer-watch.ts';
import { Feature } from '../../../src/spec/features.ts';
import { recordBlock } from '../../support/recorded-rig.ts';

/** What was in the buffers of a trace. */
function contentsIn(lines: readonly string[]): BufferContents[] {
  const reader = new TraceReader();
  return lines.flatMap((line) => {
    const event = reader.read(line);
    return event?.kind === 'buffer.contents' ? [event] : [];
  });
}

/** A write of sector 3, full of sevens. */
const WRITE_HEADER = '01000000000000000300000000000000';

describe.each([
  ['split', []],
  ['packed', [Feature.RING_PACKED]],
] as const)('a recorder at %s rings', (_, offer) => {
  it('keeps the first bytes of what the device reads, and the last ones of what it has written', async () => {
    const { driver, lines } = await recordBlock('direct', { device: { offer }, driver: { queueSize: 8 } });
    await driver.initialize();
    await driver.write(3, new Uint8Array(512).fill(7));
    await driver.read(3, 512);
    const [request, answer, , data] = contentsIn(lines);
    expect(request).toMatchObject({ by: 'driver', head: WRITE_HEADER + '07'.repeat(112) });
    expect(answer).toMatchObject({ by: 'device', id: request!.id, tail: '00' });
    expect(data).toMatchObject({ by: 'device', head: '07'.repeat(128), tail: `${'07'.repeat(15)}00` });
  });

  it('keeps the indirect table of a buffer that has one', async () => {
    const { driver, lines } = await recordBlock('direct', { device: { offer }, driver: { queueSize: 8 } });
    await driver.initialize();
    await driver.write(3, new Uint8Array(512).fill(7));
    // Header, data and status are three descriptors of 16 bytes.
    expect(contentsIn(lines)[0]!.table).toHaveLength(2 * 3 * 16);
  });
});

it('a buffer that came and went before anybody looked is told of without what is in it', () => {
  const memory = GuestMemory.over(new Uint8Array(0x2000));
  const { view } = memory.regions[0]!;
  const rings = { u16: (at: number) => view.getUint16(at, true), u32: (at: number) => view.getUint32(at, true) };
  const [descriptor, driver, device, bytes] = [0x100, 0x200, 0x300, 0x1000];
  const watch = new BufferWatch(memory, { queue: 0, size: 8, descriptor, driver, device }, 'split');
  view.setUint32(descriptor, bytes, true);
  view.setUint32(descriptor + 8, 4, true);
  view.setUint32(bytes, 0x04030201, true);
  view.setUint16(driver + 2, 1, true);
  expect(watch.look(rings).contents).toMatchObject([{ by: 'driver', id: 0, head: '01020304' }]);
  view.setUint16(device + 2, 1, true);
  expect(watch.look(rings).contents).toMatchObject([{ by: 'device', id: 0 }]);
  view.setUint16(driver + 2, 2, true);
  view.setUint16(device + 2, 2, true);
  expect(watch.look(rings)).toEqual({
    contents: [{ kind: 'buffer.contents', by: 'driver', queue: 0, id: 0 }],
    usedBefore: 0,
  });
});
