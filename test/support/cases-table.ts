/** docs/cases.md: what `virtio check device` and `virtio check driver` walk through, and what they do not. */
import type { DeviceCase } from '../../src/cli/check/device-case.ts';
import { deviceCases } from '../../src/cli/check/device-cases.ts';
import { driverCases } from '../../src/cli/check/driver-cases.ts';
import { featureName } from '../../src/cli/check/why-not.ts';
import { type Situation, situations } from './situations.ts';

const HEAD = `# Cases

What \`virtio check device\` and \`virtio check driver\` put the other end through, each with split rings, packed rings and in-order use, and a
device with indirect tables, too. The requirements are those of [conformance.md](conformance.md)
that a case is about; the judge looks at all others as well. What a case needs is what has to be in the hands of whoever runs it, besides the
other end of the connection; a feature is needed of the device, and where registers are read the way to it has to have some. What cannot be had
is not exercised, and the report says why. A test keeps this file in step with the cases; \`npm run tables\` writes it.`;

function rows(
  cases: readonly Pick<DeviceCase, 'name' | 'requirements' | 'needs' | 'features' | 'type' | 'reads'>[],
): string {
  const lines = cases.map(({ name, requirements, needs = [], features = [], type, reads }, n) => {
    const needed = [
      ...(type === undefined ? [] : [`the ${type}`]),
      ...needs,
      ...(reads === undefined ? [] : [reads]),
      ...features.map(featureName),
    ];
    const about = requirements.map((id) => `\`${id}\``).join(', ');
    return `| ${n + 1} | ${name} | ${about} | ${needed.join(', ') || '–'} |`;
  });
  return ['| | Case | Requirements | Needs |', '|---|---|---|---|', ...lines].join('\n');
}

/** Numbers of cases in the tables above. */
function numbers(end: string, names: readonly string[], cases: readonly { readonly name: string }[]): string[] {
  if (names.length === 0) return [];
  const found = names.map((name) => cases.findIndex((one) => one.name === name) + 1);
  return [`${end} ${found.join(', ')}`];
}

function walked({ device = [], driver = [] }: Situation): string {
  return [...numbers('device', device, deviceCases), ...numbers('driver', driver, driverCases)].join('; ') || '–';
}

export function casesDocument(): string {
  const rowsOfSituations = situations.map(
    (one, n) => `| ${n + 1} | ${one.what} | ${walked(one)} | ${one.rest ?? ''} |`,
  );
  return [
    HEAD,
    '## A device under test',
    rows(deviceCases),
    '## A driver under test',
    "The device is played, and shows and does whatever the case says. The driver of Linux is put through the same, but for in-order use, which it does not know; many suspends are 100 of ours and 10 of Linux's.",
    rows(driverCases),
    '## Situations',
    'What a suspend and a resume have to stand, and which of the cases above walk it. `–`: none does.',
    [
      '| | Situation | Cases | What is not walked, why, and where else |',
      '|---|---|---|---|',
      ...rowsOfSituations,
    ].join('\n'),
    '',
  ]
    .join('\n\n')
    .replace(/\n+$/, '\n');
}
