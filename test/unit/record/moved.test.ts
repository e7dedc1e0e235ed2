/** A device that is saved and goes on in another one is one device to its driver, and to the judge. */
import { describe, expect, it } from 'vitest';
import { PerfettoExport } from '../../../src/monitor/perfetto.ts';
import type { TraceEvent } from '../../../src/monitor/trace.ts';
import { TraceReader } from '../../../src/monitor/trace-format.ts';
import { Feature } from '../../../src/spec/features.ts';
import { judgeLines, recordBlock, recordedWays } from '../../support/recorded-rig.ts';
import { pattern } from '../../support/rig.ts';

const rings = [
  ['split', []],
  ['packed', [Feature.RING_PACKED]],
] as const;

const OF_MOVES = ['move.device.rest', 'move.device.still', 'move.device.same', 'move.device.queues'];

function eventsOf(lines: readonly string[]): readonly TraceEvent[] {
  const reader = new TraceReader();
  return lines.flatMap((line) => reader.read(line) ?? []);
}

/** The rules that a trace breaks when one of its events is another one. */
function brokenBy(lines: readonly string[], change: (event: TraceEvent) => TraceEvent): readonly string[] {
  const changed = lines.map((line, n) => (n === 0 ? line : JSON.stringify(change(JSON.parse(line) as TraceEvent))));
  const verdicts = [...judgeLines(changed).values()];
  return verdicts.filter(({ result }) => result === 'fail').map(({ rule }) => rule.id);
}

describe.each(recordedWays)('over %s', (way) => {
  describe.each(rings)('a block device with %s rings', (_, offer) => {
    it('goes on in others, suspended under load and paused, and keeps every rule', async () => {
      const rig = await recordBlock(way, { device: { offer }, driver: { queueSize: 8 } });
      const { driver, lines } = rig;
      await driver.initialize();
      for (let round = 0; round < 3; round++) {
        for (let sector = 0; sector < 5; sector++) await driver.write(sector, pattern(512, sector));
        const load = Array.from({ length: 5 }, (_, n) => driver.read(n, 512));
        await driver.suspend();
        rig.move();
        await driver.resume();
        expect(await Promise.all(load)).toEqual(Array.from({ length: 5 }, (_, n) => pattern(512, n)));
        await rig.device.pause();
        rig.move();
        rig.device.continue();
      }
      expect(await driver.read(3, 512)).toEqual(pattern(512, 3));
      const verdicts = judgeLines(lines);
      expect([...verdicts.values()].filter(({ result }) => result === 'fail')).toEqual([]);
      expect(OF_MOVES.map((id) => verdicts.get(id)!.result)).toEqual(OF_MOVES.map(() => 'pass'));
      expect(OF_MOVES.slice(0, 3).map((id) => verdicts.get(id)!.exercised)).toEqual([6, 6, 6]);
    });

    it('says where its queue is, which the judge finds in the ring, too', async () => {
      const { driver, lines, move } = await recordBlock(way, { device: { offer }, driver: { queueSize: 8 } });
      await driver.initialize();
      for (let n = 0; n < 5; n++) await driver.read(n, 512);
      await driver.suspend();
      move();
      await driver.resume();
      const at = eventsOf(lines).findIndex(({ kind }) => kind === 'saved');
      const [saved, restored] = eventsOf(lines).slice(at);
      expect(saved).toMatchObject({ kind: 'saved', status: 0x1b, paused: false, queues: [{ queue: 0 }] });
      expect(restored).toEqual({ ...saved, kind: 'restored', time: restored!.time });
      const elsewhere = (kind: string) => (event: TraceEvent) =>
        event.kind === kind ? { ...event, queues: [{ queue: 0, available: 3, used: 3 }] } : event;
      expect(brokenBy(lines, elsewhere('saved'))).toEqual(['move.device.queues']);
      expect(brokenBy(lines, elsewhere('restored'))).toEqual(['move.device.queues']);
    });
  });
});

it('what is told of a device after another one took its place is not recorded', async () => {
  const rig = await recordBlock('direct', {});
  await rig.driver.initialize();
  await rig.driver.suspend();
  const first = rig.device;
  rig.move();
  const { length } = rig.lines;
  first.reset();
  expect(rig.lines.length).toBe(length);
  await rig.driver.resume();
  expect(rig.lines.length).toBeGreaterThan(length);
});

it('a picture shows when the device was saved, and when it went on', async () => {
  const rig = await recordBlock('direct', {});
  await rig.driver.initialize();
  await rig.driver.suspend();
  rig.move();
  await rig.device.pause();
  rig.move();
  const picture = new PerfettoExport({ trace: 'virtio', version: 1, transport: 'direct', device: 2 });
  for (const [n, event] of eventsOf(rig.lines).entries()) picture.follow(event, n + 2);
  const moves = picture.end().traceEvents.filter(({ name }) => /^(saved|restored)/.test(name));
  const status = 'ACKNOWLEDGE|DRIVER|FEATURES_OK|SUSPEND (0x1b)';
  expect(moves.map(({ name, ph, tid }) => `${ph} ${tid} ${name}`)).toEqual([
    `i 4 saved ${status}`,
    `i 4 restored ${status}`,
    `i 4 saved ${status}, paused`,
    `i 4 restored ${status}, paused`,
  ]);
});
