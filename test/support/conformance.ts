/** docs/conformance.md: every requirement, its rule or why there is none, and what became of it in lives of our own ends. */
import type { Verdict } from '../../src/monitor/judge.ts';
import { levelIn, type Requirement } from '../../src/monitor/rule.ts';
import { requirements } from '../../src/monitor/rules.ts';
import { Feature } from '../../src/spec/features.ts';
import { liveConsole, liveEntropy } from './recorded-lives.ts';
import { judgeLines, recordBlock, recordedWays } from './recorded-rig.ts';
import { pattern } from './rig.ts';
import { keptVerdicts, type Verdicts } from './verdicts.ts';

const HEAD = `# Conformance

What \`virtio check\` judges of VIRTIO 1.4. Each row is a sentence of the standard, in our words, or, where its id ends in a word, something
that follows from what the section describes. A rule is a check over a trace; where there is none the row says why a trace cannot show it.
The column *lives* is how often a rule was put to the test, and kept, by what our block, console and entropy drivers and devices do in one life each
over each transport, with split and packed rings: initialisation, requests, suspends under load, in which disks and entropy devices go on in other
ones, for disks the reset of a queue and a failure; with packed rings, notifications with data.
\`–\`: no such life puts the rule to the test. A test keeps this file in step with the rules; \`npm run tables\` writes it.

The columns after it are runs of \`virtio check\`, as they came out: how often a rule was put to the test, and what it found if it was broken, **fail**
for a MUST and *warning* for a SHOULD. [verdicts](verdicts) has each of them with what was wrong first, and the cases that failed; \`npm run verdicts\`
runs them again, and tests compare.

QEMU's block device is driven without a guest. It does not offer VIRTIO_F_SUSPEND, so cases that suspend are not exercised. What it breaks, in
either version: used descriptors of packed rings have lengths without the flag that says so (\`packed.device.used.write\`). A choice of features
that were not offered leaves FEATURES_OK set (\`features.device.3\`). The status shows whatever is written to it, SUSPEND too, which the device
does not know (\`suspend.device.1\`, \`suspend.device.negotiated\`). Over MMIO the reset of a queue is offered, and leaves it enabled
(\`mmio.device.regs.12\`); there one case fails to which no rule belongs, for queue 2000, which there is not, has a size. What no run shows, as
requests cannot be held in processing there: when a queue is reset meanwhile, QEMU uses their buffers in the queue that is enabled next (\`reset.device.queue.2\`, over PCI, with 7.2; \`test/qemu/judged.test.ts\`).

What the judge has found in this project when it was first used: drivers read fields of the configuration space whose feature was not offered
(\`config.driver.3\`); they leave them alone now.`;

/** A life in which most things happen. */
async function live(
  way: (typeof recordedWays)[number],
  offer: readonly number[],
): Promise<ReadonlyMap<string, Verdict>> {
  const rig = await recordBlock(way, {
    device: { offer: [...offer, Feature.RING_RESET] },
    driver: { queueSize: 8 },
  });
  const { driver, lines, move } = rig;
  await driver.initialize();
  for (let round = 0; round < 3; round++) {
    for (let sector = 0; sector < 12; sector++) await driver.write(sector, pattern(512, sector));
    const load = Array.from({ length: 5 }, (_, sector) => driver.read(sector, 512));
    await driver.suspend();
    move();
    await Promise.all([...load, driver.resume()]);
  }
  await driver.driver.resetQueue(0);
  await driver.identify();
  await driver.writeZeroes(0, 2);
  await driver.read(0, 512);
  await driver.discard(2, 2);
  await driver.flush();
  await driver.driver.reset();
  await driver.initialize();
  await driver.read(0, 512);
  rig.device.fail(new Error('the disk is gone'));
  return judgeLines(lines);
}

export async function conformanceDocument(): Promise<string> {
  const lives = await Promise.all(
    recordedWays.flatMap((way) =>
      [[], [Feature.RING_PACKED, Feature.NOTIFICATION_DATA]].flatMap((offer) => [
        live(way, offer),
        liveConsole(way, offer).then(judgeLines),
        liveEntropy(way, offer).then(judgeLines),
      ]),
    ),
  );
  const resultOf = (requirement: Requirement): string => {
    const found = lives.flatMap((verdicts) => verdicts.get(requirement.id) ?? []);
    if (found.some(({ result }) => result === 'fail')) return 'fail';
    const exercised = found.reduce((sum, verdict) => sum + verdict.exercised, 0);
    return exercised > 0 ? `${exercised}` : '–';
  };
  const kept = keptVerdicts();
  return [HEAD, summary(), '## Runs', runs(kept), '## Requirements', table(resultOf, kept), ''].join('\n\n');
}

function runs(kept: readonly Verdicts[]): string {
  const rows = kept.map(({ name, command, version = '–', cases, rules }) => {
    const of = (wanted: string): number => Object.values(rules).filter(({ result }) => result === wanted).length;
    const counts = [cases.run, cases.failed, cases.notExercised, of('pass'), of('fail'), of('warning')];
    return `| ${[name, `\`${command}\``, version, ...counts].join(' | ')} |`;
  });
  const head = '| Column | Command | Version | Cases run | failed | not exercised | Rules kept | broken | warnings |';
  return [head, '|---|---|---|---|---|---|---|---|---|', ...rows].join('\n');
}

/** How a rule fared in a run. */
function cell({ role, rules }: Verdicts, requirement: Requirement): string {
  const found = rules[requirement.id];
  if (found === undefined) return 'unseen' in requirement || requirement.role !== role ? '' : '–';
  const { result, exercised } = found;
  if (result === 'pass') return `${exercised}`;
  return result === 'fail' ? `**fail** ${exercised}` : `*${result}* ${exercised}`;
}

function summary(): string {
  const chapters = new Map<string, Requirement[]>();
  for (const requirement of requirements) {
    const chapter = requirement.id.split('.')[0]!;
    chapters.set(chapter, [...(chapters.get(chapter) ?? []), requirement]);
  }
  const rows = [...chapters].map(([chapter, all]) => {
    const rules = all.filter((requirement) => 'check' in requirement).length;
    return `| ${chapter} | ${all.length} | ${rules} | ${all.length - rules} |`;
  });
  return ['| Chapter | Requirements | Rules | Without a rule |', '|---|---|---|---|', ...rows].join('\n');
}

/** That of the standard, and that of the patch where it is another one. */
function levels(requirement: Requirement): string {
  const { level } = requirement;
  const [now, before] = [levelIn(requirement, '1.4'), levelIn(requirement, 'v1')];
  if (now === before) return level;
  return now === undefined ? `v1: ${before}` : `${now}, v1: ${before ?? '–'}`;
}

function table(resultOf: (requirement: Requirement) => string, kept: readonly Verdicts[]): string {
  const rows = requirements.map((requirement) => {
    const { id, section, text } = requirement;
    const judged = 'unseen' in requirement ? `no: ${requirement.unseen}` : resultOf(requirement);
    const others = kept.map((verdicts) => cell(verdicts, requirement));
    return `| ${[`\`${id}\``, section, levels(requirement), text, judged, ...others].join(' | ')} |`;
  });
  const head = ['Id', 'Section', 'Level', 'Requirement', 'Lives', ...kept.map(({ name }) => name)];
  return [`| ${head.join(' | ')} |`, '|---'.repeat(head.length).concat('|'), ...rows].join('\n');
}
