import { Argument, type Command } from 'commander';
import type { TraceTransport } from '../../monitor/trace.ts';
import { addGuestOptions, findGuestFiles, type GuestOptions } from '../guest-options.ts';
import type { DriverCase } from './driver-case.ts';
import { driverCases } from './driver-cases.ts';
import { addCheckOptions, type CaseOptions, check, RINGS } from './ends.ts';
import { LinuxBench } from './linux-bench.ts';
import { prepareOwnDriver } from './own-driver.ts';
import type { CheckCase, NamedCase } from './run-cases.ts';

/** The command line's names of the ways from a driver of ours. */
const WAYS: Readonly<Record<string, TraceTransport>> = { loopback: 'direct', pci: 'pci', mmio: 'mmio' };
/** Longer than any case takes. */
const LIMIT_MS = 60_000;
const GUEST_LIMIT_MS = 240_000;

export function driverCommand(parent: Command): void {
  const command = parent
    .command('driver')
    .addArgument(
      new Argument(
        '<driver>',
        'loopback, pci, mmio: the one of this project, over calls or registers; linux: the one of a Linux guest in v86',
      ).choices([...Object.keys(WAYS), 'linux']),
    )
    .description('play the device, lawful or failing, and judge a block driver')
    .addHelpText(
      'after',
      `
Linux has its drivers of contrib/linux, which are built here with gcc and make, over PCI; the options of a guest are for it.`,
    );
  addGuestOptions(addCheckOptions(command)).action(async (driver: string, options: CaseOptions & GuestOptions) => {
    await (driver === 'linux' ? checkLinux(options) : checkOwnDriver(driver, options));
  });
}

function checkOwnDriver(way: string, options: CaseOptions): Promise<void> {
  const cases = casesWith(RINGS, (driverCase, offer) => prepareOwnDriver({ way: WAYS[way]! }, driverCase, offer));
  return check({ role: 'driver', way, title: `The block driver over ${way}`, limitMs: LIMIT_MS }, cases, options);
}

/** Its kernel does not use buffers in order. */
function checkLinux(options: CaseOptions & GuestOptions): Promise<void> {
  const rings = RINGS.filter(({ name }) => name !== 'split, in order');
  const bench = new LinuxBench();
  const cases = casesWith(rings, (driverCase, offer) => bench.prepare(driverCase, offer));
  return check(
    {
      role: 'driver',
      way: 'linux',
      title: "Linux's block driver",
      limitMs: GUEST_LIMIT_MS,
      around: async (run, onProgress) => {
        const files = await findGuestFiles({ ...options, suspend: true }, onProgress);
        const cache = options.cache === undefined ? {} : { cacheFolder: options.cache };
        return bench.during({ files, onProgress, ...cache }, run);
      },
    },
    cases,
    options,
  );
}

/** Each driver case with each kind of ring. */
export function casesWith(
  rings: typeof RINGS,
  prepare: (driverCase: DriverCase, offer: readonly number[]) => CheckCase | Promise<CheckCase>,
): readonly NamedCase[] {
  return rings.flatMap(({ name: ring, offer }) =>
    driverCases.map((driverCase) => ({
      name: `${driverCase.name} (${ring})`,
      prepare: async () => prepare(driverCase, offer),
    })),
  );
}
