/** The device that a driver under test has to do with over PCI: what it is told to vary the driver sees, and the recorder. */
import { expect, it } from 'vitest';
import { makeVariedBench } from '../../../../src/cli/check/varied-bench.ts';
import { BlockDriver } from '../../../../src/devices/block/driver.ts';
import { featureSet } from '../../../../src/spec/features.ts';
import { judgeLines } from '../../../support/recorded-rig.ts';

async function started() {
  const bench = await makeVariedBench('pci');
  const driver = new BlockDriver(bench.transport, bench.allocator, { queueSize: 16 });
  await driver.initialize();
  return { bench, driver };
}

function broken(trace: readonly string[]): readonly string[] {
  return [...judgeLines(trace).values()].filter(({ result }) => result === 'fail').map(({ rule }) => rule.id);
}

it('a driver that kicks a device at rest is found out, and one that does not is not', async () => {
  const { bench, driver } = await started();
  await driver.suspend();
  expect(broken(bench.trace)).toEqual([]);
  await bench.transport.kick(0);
  expect(broken(bench.trace)).toEqual(['suspend.driver.4']);
});

it('statuses, deaf ears and missed kicks are what the driver meets', async () => {
  const { bench } = await started();
  const { transport, varied, device } = bench;
  varied.statuses.push(0x1b, 0x4f);
  expect([await transport.readStatus(), await transport.readStatus(), await transport.readStatus()]).toEqual([
    0x1b, 0x4f, 0x0f,
  ]);
  varied.isDeaf = (value) => value === 0x1f;
  await transport.writeStatus(0x1f);
  expect([device.status, varied.resets]).toEqual([0x0f, 1]);
  varied.missesKicks = true;
  await transport.kick(0);
  expect(varied.missedKicks).toBe(1);
  varied.status = 0xff;
  expect(await transport.readStatus()).toBe(0xff);
  varied.end();
  expect(await transport.readStatus()).toBe(0x0f);
});

it('what it offers has bits more or less, word by word', async () => {
  const { bench } = await started();
  const own = await bench.transport.readFeatures();
  bench.varied.alsoOffered = featureSet(44, 63);
  bench.varied.withheld = featureSet(43);
  expect(own & featureSet(43)).not.toBe(0n);
  expect(await bench.transport.readFeatures()).toBe((own & ~featureSet(43)) | featureSet(44, 63));
});

it('a notification for nothing is told and recorded, once, until its status is read', async () => {
  const { bench } = await started();
  const told: string[] = [];
  bench.transport.onUsedBuffer = () => told.push('used');
  bench.transport.onConfigChange = () => told.push('config');
  const before = bench.trace.length;
  bench.notifyForNothing();
  bench.notifyForNothing();
  await expect.poll(() => told).toEqual(['used', 'config', 'used', 'config']);
  const events = bench.trace.slice(before).map((line) => JSON.parse(line) as Record<string, unknown>);
  expect(events.filter(({ kind }) => kind === 'interrupt').map(({ cause }) => cause)).toEqual([
    ...['used', 'config'],
    ...['used', 'config'],
  ]);
  expect(events.filter(({ structure }) => structure === 'isr').map(({ value }) => value)).toEqual([3, 3]);
});
