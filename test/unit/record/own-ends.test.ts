import { describe, expect, it } from 'vitest';
import type { Rule } from '../../../src/monitor/rule.ts';
import { Feature } from '../../../src/spec/features.ts';
import { liveConsole, liveEntropy } from '../../support/recorded-lives.ts';
import { judgeLines, recordBlock, recordedWays } from '../../support/recorded-rig.ts';
import { pattern } from '../../support/rig.ts';

const rings = [
  ['split', []],
  ['packed', [Feature.RING_PACKED]],
  ['split, in order', [Feature.IN_ORDER]],
] as const;

describe.each(recordedWays)('our block driver and device over %s', (way) => {
  it.each(rings)('keep every rule, with %s rings', async (_, offer) => {
    const { device, driver, lines } = await recordBlock(way, {
      device: { offer: [...offer, Feature.RING_RESET] },
      driver: { queueSize: 8 },
    });
    await driver.initialize();
    for (let round = 0; round < 3; round++) {
      for (let sector = 0; sector < 12; sector++) await driver.write(sector, pattern(512, sector));
      const parallel = Array.from({ length: 5 }, (_, n) => driver.read(n, 512));
      await driver.suspend();
      await Promise.all([...parallel, driver.resume()]);
    }
    await driver.driver.resetQueue(0);
    await driver.flush();
    await driver.driver.reset();
    await driver.initialize();
    await driver.read(0, 512);
    device.fail(new Error('the disk is gone'));
    const verdicts = [...judgeLines(lines).values()];
    expect(verdicts.filter(({ result }) => result === 'fail')).toEqual([]);
    const passed = verdicts.filter(({ result }) => result === 'pass').map(({ rule }) => rule.id);
    expect(passed).toEqual(
      expect.arrayContaining([
        'suspend.driver.2',
        'suspend.driver.6',
        'suspend.device.4',
        'suspend.device.8',
        'suspend.device.9',
        'suspend.device.11',
        'status.device.3',
        'reset.driver.queue.1',
        ...(offer.includes(Feature.IN_ORDER as never) ? ['features.device.reserved.5'] : []),
      ]),
    );
  });
});

describe('our block driver and device over pci with MSI-X', () => {
  it('keep every rule', async () => {
    const { device, driver, lines } = await recordBlock('pci', { driver: { queueSize: 8 }, vectors: 2 });
    await driver.initialize();
    for (let sector = 0; sector < 12; sector++) await driver.write(sector, pattern(512, sector));
    await driver.suspend();
    await driver.resume();
    await driver.driver.reset();
    await driver.initialize();
    device.fail(new Error('the disk is gone'));
    const verdicts = [...judgeLines(lines).values()];
    expect(verdicts.filter(({ result }) => result === 'fail')).toEqual([]);
    const passed = verdicts.filter(({ result }) => result === 'pass').map(({ rule }) => rule.id);
    const messages = lines.flatMap((line) => line.match(/"kind":"message","vector":(\d+)/)?.[1] ?? []);
    expect([new Set(messages), messages.at(-1)]).toEqual([new Set(['1', '0']), '0']);
    const ofVectors = ['pci.device.msix.1', 'pci.device.msix.6', 'pci.device.msix.8'];
    expect(passed).toEqual(expect.arrayContaining([...ofVectors, 'pci.driver.msix.4', 'pci.driver.msix.5']));
    expect(passed).not.toContain('pci.device.isr.3');
  });
});

describe.each(recordedWays)('our consoles and entropy devices over %s', (way) => {
  it.each(rings)('keep every rule with their drivers, with %s rings', async (_, offer) => {
    const consoles = [...judgeLines(await liveConsole(way, offer)).values()];
    const entropy = [...judgeLines(await liveEntropy(way, offer)).values()];
    expect([...consoles, ...entropy].filter(({ result }) => result === 'fail')).toEqual([]);
    const passed = [...consoles, ...entropy].filter(({ result }) => result === 'pass').map(({ rule }) => rule.id);
    expect(passed).toEqual(
      expect.arrayContaining([
        'console.device.init.1',
        'console.driver.op.1',
        'console.driver.op.2',
        'rng.driver.1',
        'rng.device.1',
        'suspend.device.8',
      ]),
    );
  });
});

/** Never broken; it counts buffers. */
function counter(kind: 'buffer.available' | 'buffer.taken' | 'buffer.used'): Rule {
  return {
    id: kind,
    section: '',
    level: 'MUST',
    role: 'device',
    text: '',
    check: ({ passed }) => ({ [kind]: passed }),
  };
}

describe.each(recordedWays)('the judge over %s', (way) => {
  it.each(rings)('reads every buffer from the memory of %s rings', async (_, offer) => {
    const { driver, lines } = await recordBlock(way, { device: { offer }, driver: { queueSize: 8 } });
    await driver.initialize();
    const REQUESTS = 100;
    for (let round = 0; round < REQUESTS / 4; round++) {
      await Promise.all([0, 1, 2, 3].map((sector) => driver.read(sector, 512 * (1 + (round % 3)))));
    }
    await driver.driver.reset();
    const verdicts = judgeLines(lines, (['buffer.available', 'buffer.taken', 'buffer.used'] as const).map(counter));
    expect([...verdicts.values()].map(({ exercised }) => exercised)).toEqual([REQUESTS, REQUESTS, REQUESTS]);
  });
});
