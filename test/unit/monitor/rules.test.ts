import { describe, expect, it } from 'vitest';
import { Judge, type Verdict } from '../../../src/monitor/judge.ts';
import { isStrict, levelIn } from '../../../src/monitor/rule.ts';
import { requirements, rules } from '../../../src/monitor/rules.ts';
import type { TextVersion, TraceEvent, TraceHeader } from '../../../src/monitor/trace.ts';
import { goesOn, header, read, type TracesByRule, write } from '../../support/trace-events.ts';
import { configTraces, featureTraces, initTraces, queueTraces, resetTraces, statusTraces } from './traces/basics.ts';
import { deviceTypeTraces } from './traces/device-types.ts';
import { mmioTraces } from './traces/mmio.ts';
import { moveTraces } from './traces/move.ts';
import { packedTraces } from './traces/packed.ts';
import { pciCommonTraces } from './traces/pci-common.ts';
import { pciFunctionTraces } from './traces/pci-function.ts';
import { pciNotifyTraces } from './traces/pci-notify.ts';
import { splitTraces } from './traces/split.ts';
import { suspendTraces } from './traces/suspend.ts';

const traces: TracesByRule = {
  ...statusTraces,
  ...featureTraces,
  ...resetTraces,
  ...configTraces,
  ...queueTraces,
  ...initTraces,
  ...splitTraces,
  ...packedTraces,
  ...suspendTraces,
  ...moveTraces,
  ...mmioTraces,
  ...deviceTypeTraces,
  ...pciNotifyTraces,
  ...pciFunctionTraces,
  ...pciCommonTraces,
};

/** How many sentences the standard has of each kind; they are counted from 1. */
const SENTENCES: Readonly<Record<string, number>> = {
  'status.driver': 4,
  'status.device': 3,
  'features.driver': 8,
  'features.device': 5,
  'features.driver.reserved': 13,
  'features.device.reserved': 9,
  'reset.device': 2,
  'reset.driver': 1,
  'reset.device.queue': 2,
  'reset.driver.queue': 2,
  'reset.device.reenable': 1,
  'reset.driver.reenable': 1,
  'config.driver': 5,
  'config.device': 1,
  'config.device.shm': 1,
  'split.driver.layout': 1,
  'split.device.framing': 2,
  'split.driver.framing': 2,
  'split.device.desc': 4,
  'split.driver.desc': 2,
  'split.driver.indirect': 5,
  'split.device.indirect': 2,
  'split.driver.avail': 1,
  'split.driver.usednotif': 5,
  'split.device.usednotif': 6,
  'split.device.used': 3,
  'split.driver.used': 2,
  'split.driver.availnotif': 7,
  'split.device.availnotif': 5,
  'split.driver.idx': 1,
  'split.driver.kick': 1,
  'packed.driver.layout': 1,
  'packed.device.order': 3,
  'packed.device.desc': 4,
  'packed.driver.desc': 4,
  'packed.driver.sg': 6,
  'packed.device.sg': 2,
  'packed.driver.indirect': 4,
  'packed.driver.flags': 1,
  'packed.driver.kick': 1,
  'init.driver': 7,
  'init.driver.cleanup': 2,
  'suspend.driver': 6,
  'suspend.device': 12,
  'notify.driver.pci': 6,
  'notify.device.pciused': 1,
  'notify.device.pcicfgchg': 1,
  'notify.driver.pcicfgchg': 1,
  'pci.device.common': 17,
  'pci.driver.common': 11,
  'pci.device.bus': 1,
  'pci.device.discovery': 6,
  'pci.driver.discovery': 4,
  'pci.driver.cap': 8,
  'pci.device.cap': 3,
  'pci.device.notifycap': 11,
  'pci.device.devcfg': 1,
  'pci.device.shm': 2,
  'pci.device.vendor': 5,
  'pci.driver.vendor': 2,
  'pci.device.pcicfg': 3,
  'pci.driver.pcicfg': 2,
  'pci.device.isr': 5,
  'pci.driver.isr': 1,
  'pci.device.msix': 9,
  'pci.driver.msix': 6,
  'pci.driver.layout': 2,
  'pci.device.layout': 1,
  'mmio.device.regs': 12,
  'mmio.driver.regs': 23,
  'mmio.driver.init': 6,
  'notify.driver.mmio': 3,
  'blk.driver.init': 11,
  'blk.device.init': 18,
  'blk.driver.op': 26,
  'blk.device.op': 41,
  'console.device.init': 2,
  'console.driver.op': 2,
  'console.device.multiport': 2,
  'console.driver.multiport': 4,
  'rng.driver': 2,
  'rng.device': 2,
};

function judge(
  events: readonly TraceEvent[],
  over: Partial<TraceHeader> = {},
  text: TextVersion = '1.4',
): readonly Verdict[] {
  const judge = new Judge(header(over), rules, text);
  for (const [index, event] of events.entries()) judge.follow(event, index + 2);
  return judge.end();
}

function failed(verdicts: readonly Verdict[]): string[] {
  return verdicts.filter(({ result }) => result === 'fail').map(({ rule }) => rule.id);
}

describe('the requirements', () => {
  it('are all those of their chapters, once each: a rule, or why there is none', () => {
    const expected = Object.entries(SENTENCES).flatMap(([chapter, count]) =>
      Array.from({ length: count }, (_, n) => `${chapter}.${n + 1}`),
    );
    const numbered = requirements.map(({ id }) => id).filter((id) => /\.\d+$/.test(id));
    expect([...numbered].sort()).toEqual([...expected].sort());
    const ids = requirements.map(({ id }) => id);
    expect(new Set(ids).size).toBe(ids.length);
  });

  it('say whose they are, where they are from, and what they are in a sentence', () => {
    for (const requirement of requirements) {
      const { id, role, section, text } = requirement;
      expect(id.split('.')[1], id).toBe(role);
      expect(section, id).toMatch(/^§[2-6](\.\d+)*$/);
      expect(text, id).toMatch(/^[A-Z].{15,}\.$/);
      if ('unseen' in requirement) expect(requirement.unseen, id).toMatch(/^[A-Z].{10,}\.$/);
    }
  });

  it('that are permissions have no rule', () => {
    expect(rules.filter(({ level }) => level === 'MAY')).toEqual([]);
  });

  it('differ between the two texts where the texts do', () => {
    const differ = requirements.filter((r) => levelIn(r, 'v1') !== levelIn(r, '1.4'));
    expect(differ.map((rule) => [rule.id, levelIn(rule, 'v1'), levelIn(rule, '1.4')])).toEqual([
      ['suspend.driver.6', undefined, 'MUST'],
      ['suspend.device.2', 'MUST', 'SHOULD'],
      ['suspend.device.8', 'SHOULD', 'MUST'],
      ['suspend.device.9', 'SHOULD', 'MUST'],
      ['suspend.device.suspends', 'MUST', undefined],
      ['suspend.device.resumes', 'MUST', undefined],
    ]);
  });

  it.each([
    ['suspend.driver.6', undefined, 'MUST'],
    ['suspend.device.2', 'MUST', 'SHOULD'],
    ['suspend.device.8', 'SHOULD', 'MUST'],
    ['suspend.device.9', 'SHOULD', 'MUST'],
  ])('%s is judged by the text that is asked for', (id, ...expected) => {
    const levels = (['v1', '1.4'] as const).map((text) => {
      const broken = judge(traces[id]!.fail, {}, text).filter(({ result }) => result === 'fail');
      return broken.find(({ rule }) => rule.id === id)?.level;
    });
    expect(levels).toEqual(expected);
  });

  it('ask of a device by the patch that it suspends and resumes, and not that it clears the other bit', () => {
    const strict = (...events: readonly TraceEvent[]): string[] =>
      failed(judge(events, {}, 'v1').filter(({ level }) => isStrict(level)));
    expect(strict(...goesOn(), write(0x1f), read(0x1f))).toEqual([]);
    expect(strict(...goesOn(), write(0x1f), read(0x0f))).toEqual(['suspend.device.suspends']);
    expect(strict(...goesOn(0x1b), write(0x1f), read(0x1f))).toEqual([]);
    expect(strict(...goesOn(0x1b), write(0x1f), read(0x1b))).toEqual(['suspend.device.resumes']);
  });
});

describe('each rule', () => {
  it('has its traces', () => {
    expect(Object.keys(traces).sort()).toEqual(rules.map(({ id }) => id).sort());
  });

  it.each(rules.map((rule) => [rule.id, rule] as const))(
    '%s is kept by one trace and broken by the other',
    (id, rule) => {
      const { pass, lawful = [], fail, alsoFail = [], header: over, text, alongside = [] } = traces[id]!;
      const kept = judge(pass, over, text);
      expect(kept.find((verdict) => verdict.rule === rule)!.result).toBe('pass');
      for (const trace of [pass, ...lawful]) expect(failed(judge(trace, over, text))).not.toContain(id);
      for (const trace of [fail, ...alsoFail]) {
        const broken = judge(trace, over, text);
        expect(failed(broken).sort()).toEqual([id, ...alongside].sort());
        const { failures } = broken.find((verdict) => verdict.rule === rule)!;
        expect(failures[0]!.events.length).toBeGreaterThan(0);
      }
      expect(isStrict(rule.level) || rule.level.startsWith('SHOULD')).toBe(true);
    },
  );
});
