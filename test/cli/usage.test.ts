/** What the command line understands, and what it says to the rest. Nothing here needs a guest. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { virtio, workFolder } from './virtio.ts';

const folder = workFolder();

describe('help', () => {
  it('of the program lists its commands and ends well', async () => {
    const { code, stdout, stderr } = await virtio(['--help']);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    for (const command of [
      'demo',
      'run',
      'guest',
      'check',
      'serve',
      'status',
      'pause',
      'continue',
      'save',
      'restore',
      'resize',
    ]) {
      expect(stdout).toMatch(new RegExp(`^  ${command} `, 'm'));
    }
  });

  it.each([
    [
      'run',
      [
        '--disk <file[:mode]>',
        '--from',
        '--exec',
        '--save',
        '--memory',
        '--suspend',
        ':rw',
        ':ro',
        'Ctrl-]',
        'Exit code',
        'truncate -s',
      ],
    ],
    [
      'guest',
      [
        '--no-boot',
        '--suspend',
        '--diff [tree]',
        'Exit code',
        '--json',
        '--kernel',
        '--initrd',
        '--bios',
        '--cache',
        'XDG_CACHE_HOME',
      ],
    ],
    ['demo', ['--cycles', '--depth', '--no-guest', '--json', '(default: 1000)', 'gcc and make', 'Exit code']],
  ])('of %s names what it takes', async (command, names) => {
    const { code, stdout, stderr } = await virtio([command, '--help']);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    for (const name of names) expect(stdout.replaceAll(/\s+/g, ' ')).toContain(name);
    expect((await virtio(['help', command])).stdout).toBe(stdout);
  });

  it('is what one gets without a command, with the exit code of a mistake', async () => {
    const { code, stdout, stderr } = await virtio([]);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toContain('Usage: virtio [options] [command]');
  });
});

it('--version is that of the package', async () => {
  const { version } = JSON.parse(readFileSync(join(import.meta.dirname, '../../package.json'), 'utf8')) as {
    version: string;
  };
  expect(await virtio(['--version'])).toEqual({ code: 0, stdout: `${version}\n`, stderr: '' });
});

describe('a command line that makes no sense', () => {
  it.each([
    [['frobnicate'], "unknown command 'frobnicate'"],
    [['--frob'], "unknown option '--frob'"],
    [['rum'], 'Did you mean run?'],
    [['run', '--frob'], "unknown option '--frob'"],
    [['run', 'disk.img'], 'too many arguments'],
    [['guest', 'me'], 'too many arguments'],
    [['demo', '--depth'], 'argument missing'],
    [['demo', '--cycles', '0'], 'a whole number from 1 on is needed'],
    [['demo', '--cycles', '1.5'], 'a whole number from 1 on is needed'],
    [['demo', '--cycles', '1e3'], 'a whole number from 1 on is needed'],
    [['demo', '--cycles', '0x10'], 'a whole number from 1 on is needed'],
    [['demo', '--cycles', '-5'], 'a whole number from 1 on is needed'],
    [['demo', '--cycles', ''], 'a whole number from 1 on is needed'],
    [['demo', '--cycles', 'many'], "argument 'many' is invalid"],
    [['demo', '--depth', '5000'], 'a whole number from 1 to 1024 is needed'],
    [['run', '--memory', '64'], 'a whole number from 96 to 2048 is needed'],
    [['run', '--memory', '4096'], 'a whole number from 96 to 2048 is needed'],
    [['run', '--disk', ''], 'it names no file'],
    [['run', '--disk', ':rw'], 'it names no file'],
    [['run', '--disk', 'disk.img:rwx'], 'there is no such file, and no mode "rwx": modes are overlay, rw and ro'],
    [['run', '--disk', 'disk.img:constructor'], 'no mode "constructor"'],
    [['run', '--from', ''], 'it names no file'],
    [['run', '--exec', 'true', '--save', ''], 'it names no file'],
    [['run', '--exec', 'true', '--json='], 'it names no file'],
    [['guest', '--cache', ''], 'it names no file'],
    [['run', '--save', 'machine.saved'], '--save needs --exec; on a terminal the menu (Ctrl-]) saves'],
    [['run', '--json'], '--json needs --exec'],
    [['run', '--from', 'machine.saved', '--suspend'], 'a saved machine goes on with the drivers that it has'],
    [['guest', '--diff'], '--diff needs --suspend'],
    [['guest', '--suspend', '--diff', ''], 'it names no file'],
    [['guest', '--suspend', '--diff', '--json'], '--diff and --json do not go together'],
    [['run', '--kernel', 'vmlinuz'], '--kernel needs --initrd'],
    [['guest', '--initrd', 'initrd.gz'], '--initrd needs --kernel'],
    [['demo', '--kernel', 'vmlinuz'], '--kernel needs --initrd'],
  ])('%j: exit code 2, the mistake, and where help is', async (args, mistake) => {
    const { code, stdout, stderr } = await virtio(args, { folder: folder.path('.') });
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toMatch(/^error: /);
    expect(stderr).toContain(mistake);
    expect(stderr).toMatch(/\(virtio (?:(?:run|guest|demo) )?--help says what there is\)\n$/);
  });
});

describe('a place where the report cannot be written', () => {
  it.each([
    [['demo', '--no-guest', '--json', 'nowhere/report.json'], 'there is no folder nowhere'],
    [['guest', '--no-boot', '--json', '.'], 'it is a folder, name a file in it'],
    [['run', '--exec', 'true', '--save', 'nowhere/saved'], 'there is no folder nowhere'],
    [['run', '--exec', 'true', '--save', '.'], 'it is a folder, name a file in it'],
    [['run', '--exec', 'true', '--save', '/dev/null'], 'it is a device, pipe or socket, name a file'],
  ])('is found before the work (%j)', async (args, mistake) => {
    const { code, stdout, stderr } = await virtio(args, { folder: folder.path('.') });
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toMatch(/^virtio: cannot write .*\n$/);
    expect(stderr).toContain(mistake);
  });
});
