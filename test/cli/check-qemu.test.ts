/** `virtio check device qemu-…`: the block device of a QEMU without a guest, and what is found about it. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { newerQemu } from '../../scripts/newer-qemu.mjs';
import type { CheckReport } from '../../src/cli/check/run-cases.ts';
import { hasQemu, QEMU } from '../guest/qemu-machine.ts';
import { leavesNothing } from '../qemu/qemu-devices.ts';
import { keepVerdicts, keptVersion } from '../support/verdicts.ts';
import { start, virtio, workFolder } from './virtio.ts';

/** QEMU sets its flag for kicks, and clears it, in another process: whether it is looked at meanwhile is a matter of time. */
const BY_CHANCE = ['split.device.availnotif.1'];

const folder = workFolder();
const newer = newerQemu();
if (newer === undefined) console.warn('skipped: the devices of a newer QEMU; node scripts/newer-qemu.mjs fetches one');

describe.each([
  ...(['pci', 'msix', 'mmio'] as const).map((bus) => ({
    file: 'qemu',
    name: 'QEMU',
    bus,
    program: hasQemu ? QEMU : undefined,
  })),
  ...(['msix', 'mmio'] as const).map((bus) => ({ file: 'newer-qemu', name: 'newer QEMU', bus, program: newer })),
])('$name, $bus', ({ file, name, bus, program }) => {
  it.skipIf(program === undefined)('is judged as any device is: what it does not keep is said', async () => {
    const json = folder.path(`${file}-${bus}.json`);
    const options = program === QEMU ? [] : ['--qemu', program!];
    const { code, stdout, stderr } = await virtio(['check', 'device', `qemu-${bus}`, ...options, '--json', json]);
    expect(code).toBe(1);
    const version = versionOf(program!);
    expect(stderr).toContain(`The block device of QEMU ${version}, over qemu-${bus}`);
    const report = readFileSync(json, 'utf8');
    const { cases, rules } = JSON.parse(report) as CheckReport;
    expect(stdout).toContain(`${cases.length} cases, `);
    const reasons = new Set(cases.filter(({ result }) => result === 'not exercised').map(({ message }) => message));
    // Which version offers it, QEMU decides.
    reasons.delete('the device does not offer VIRTIO_F_IN_ORDER');
    expect([...reasons].sort()).toEqual([
      'the device does not offer VIRTIO_F_SUSPEND',
      'what is behind the device is out of reach: held requests',
    ]);
    const passed = rules.filter(({ result }) => result === 'pass').map(({ id }) => id);
    expect(passed).toEqual(expect.arrayContaining(['split.device.used.id', 'packed.device.used.id', 'reset.device.2']));
    const kept = `${file}-${bus}`;
    if (isOther(keptVersion(kept), version)) {
      console.warn(`not compared with docs/verdicts/${kept}.json, which is of QEMU ${keptVersion(kept)}: ${version}`);
      return;
    }
    const command = `virtio check device qemu-${bus}${program === QEMU ? '' : ' --qemu PROGRAM'}`;
    keepVerdicts(kept, { name: `${name}, ${bus}`, role: 'device', command, version }, report, BY_CHANCE);
  });
});

function versionOf(program: string): string {
  return /^QEMU emulator version (.+)$/m.exec(spawnSync(program, ['--version'], { encoding: 'utf8' }).stdout)![1]!;
}

/** Another release, whose findings may be others; not when they are to be kept anew. */
function isOther(kept: string | undefined, version: string): boolean {
  if (process.env['WRITE_VERDICTS'] !== undefined) return false;
  const release = (text = ''): string | undefined => /^\d+\.\d+/.exec(text)?.[0];
  return release(kept) !== release(version);
}

describe('a QEMU that is none', () => {
  it('is said in one line', async () => {
    const bin = folder.path('bin');
    mkdirSync(bin);
    const without = { environment: { PATH: bin } };
    for (const [args, why, options] of [
      [[], `spawn ${QEMU} ENOENT. Install qemu-system-x86`, without],
      [['--qemu', '/no/qemu'], 'spawn /no/qemu ENOENT. Install qemu-system-x86', {}],
      [['--qemu', process.execPath], `${process.execPath} is no QEMU: it does not say its version`, {}],
    ] as const) {
      const { code, stdout, stderr } = await virtio(['check', 'device', 'qemu-mmio', ...args], options);
      expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
      expect(stderr).toMatch(/^virtio: .*\n$/);
      expect(stderr).toContain(why);
    }
  });

  it('is not asked for where there is no QEMU, and has no socket', async () => {
    for (const [args, why] of [
      [['loopback', '--qemu', QEMU], '--qemu is for qemu-pci, qemu-msix, qemu-mmio'],
      [['vhost-user', 'x.sock', '--qemu', QEMU], '--qemu is for qemu-pci, qemu-msix, qemu-mmio'],
      [['qemu-pci', 'x.sock'], 'qemu-pci has no socket'],
      [['qemu-pci', '--qemu', ''], 'it names no file'],
    ] as const) {
      const { code, stdout, stderr } = await virtio(['check', 'device', ...args]);
      expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
      expect(stderr).toContain(why);
    }
  });
});

describe.skipIf(!hasQemu)('a check that is ended by a signal', () => {
  it.each(['SIGTERM', 'SIGINT', 'SIGHUP'] as const)('%s: no QEMU is left, and no file', async (signal) => {
    const temporary = folder.path(signal);
    mkdirSync(temporary);
    const check = start(['check', 'device', 'qemu-pci'], { environment: { TMPDIR: temporary } });
    await check.says(/cases \d%: one to five requests at once/);
    check.child.kill(signal);
    expect(await check.ended).toMatchObject({ code: null });
    const { pid } = check.child;
    expect(leavesNothing(pid)).toBe(true);
    expect(readdirSync(temporary)).toEqual([]);
    await expect.poll(() => qemusOf(pid!)).toEqual([]);
  });
});

/** Command lines of the QEMUs that a process has started. */
function qemusOf(pid: number): readonly string[] {
  const { stdout } = spawnSync('ps', ['-eo', 'args'], { encoding: 'utf8' });
  expect(stdout).toContain('ps -eo args');
  return stdout.split('\n').filter((line) => line.includes(`virtio-qtest-${pid}-`));
}
