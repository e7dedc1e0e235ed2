/** docs/cases.md: what `virtio check device` and `virtio check driver` walk through, and what they do not. */
import type { DeviceCase } from '../../src/cli/check/device-case.ts';
import { deviceCases } from '../../src/cli/check/device-cases.ts';
import { driverCases } from '../../src/cli/check/driver-cases.ts';
import { featureName } from '../../src/cli/check/why-not.ts';

const HEAD = `# Cases

What \`virtio check device\` and \`virtio check driver\` put the other end through, each with split rings, packed rings and in-order use. The
requirements are those of [conformance.md](conformance.md) that a case is about; the judge looks at all others as well. What a case needs is
what has to be in the hands of whoever runs it, besides the other end of the connection; a feature is needed of the device. A test keeps this file
in step with the cases; \`npm run tables\` writes it.`;

/** What the judge does not walk through, and where it is shown instead, if anywhere. */
const NOT_WALKED: readonly (readonly [what: string, why: string])[] = [
  ['Balloon statistics stay with the device over a suspend', 'There is no balloon device here to try it with.'],
  [
    'A socket device suspends while a reply has no buffer to go to, and sends it after the resume',
    'There is no socket device here to try it with.',
  ],
  [
    'Notifications that are held back to be sent together go out before the rest',
    'Block devices hold none back. What is owed with in-order use and with the event index is walked.',
  ],
  [
    'A command of a control queue is done, and its effect shows, before the rest',
    'No device here has a control queue; requests in processing are walked.',
  ],
  [
    'An interrupt status that was set before the rest can be read and acknowledged at rest, and is not set again',
    'The judge plays a driver above the registers, which acknowledges at once. `test/unit/transports/pci/interrupt.test.ts` and the rules of mmio and pci.',
  ],
  [
    'A message that its mask kept back before the rest goes out when it is unmasked, and no other does',
    'The same, and there is no mask but in PCI. `test/suspend/msix.test.ts`.',
  ],
  [
    'The indices of a split ring go on over 65535',
    'It takes 65,536 requests, and a trace of all of them; positions in the ring are walked round by round. `test/suspend/leaving.test.ts` begins shortly before.',
  ],
  [
    'The status machine is the same over PCI, MMIO and the window in the configuration space of PCI',
    'Each case runs over one way; run it over each. The window is in `test/unit/transports/pci/window.test.ts`.',
  ],
  [
    'A driver that cannot suspend does not accept bit 43',
    'The judge cannot tell such a driver from another one; that a driver which accepts it can is walked.',
  ],
];

function rows(cases: readonly Pick<DeviceCase, 'name' | 'requirements' | 'needs' | 'features' | 'type'>[]): string {
  const lines = cases.map(({ name, requirements, needs = [], features = [], type }, n) => {
    const needed = [...(type === undefined ? [] : [`the ${type}`]), ...needs, ...features.map(featureName)];
    const about = requirements.map((id) => `\`${id}\``).join(', ');
    return `| ${n + 1} | ${name} | ${about} | ${needed.join(', ') || '–'} |`;
  });
  return ['| | Case | Requirements | Needs |', '|---|---|---|---|', ...lines].join('\n');
}

export function casesDocument(): string {
  const notWalked = NOT_WALKED.map(([what, why]) => `| ${what} | ${why} |`);
  return [
    HEAD,
    '## A device under test',
    rows(deviceCases),
    '## A driver under test',
    "The device is played, and shows and does whatever the case says. The driver of Linux is put through the same, but for in-order use, which it does not know; many suspends are 100 of ours and 10 of Linux's.",
    rows(driverCases),
    '## Not walked',
    ['| What | Why, and where else |', '|---|---|', ...notWalked].join('\n'),
    '',
  ]
    .join('\n\n')
    .replace(/\n+$/, '\n');
}
