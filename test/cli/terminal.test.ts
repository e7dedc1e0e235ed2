/** `virtio run` on a terminal: the guest's console, the menu behind Ctrl-], signals; and with input from a pipe. */
import { spawnSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { openFileDisk } from '../../src/storage/file.ts';
import { hasCompiler, program, Running, sha256, start, virtio, workFolder } from './virtio.ts';

const folder = workFolder();
/** `script` of util-linux makes the pseudo-terminal; others of that name take other options. */
const hasScript = /util-linux/.test(spawnSync('script', ['--version'], { encoding: 'utf8' }).stdout ?? '');
const CTRL_C = '\x03';
const CTRL_D = '\x04';
const MENU = '\x1d';
/** Not even the echo of a command has what its output has. */
const TYPED = { answer: 'echo $((40 + 2))-answers', said: '42-answers' };

/** A shell with `virtio` on a pseudo-terminal; what the terminal shows is standard output. */
class Terminal extends Running {
  #read = 0;

  constructor(...args: readonly string[]) {
    const virtio = [process.execPath, program, ...args].map((arg) => `'${arg}'`).join(' ');
    // The outer shell goes on after Ctrl-C, to show what has become of the terminal.
    const line = `trap : INT; stty cols 200 rows 30; sh -c 'echo pid=$$; exec "$@"' sh ${virtio}; echo "code=$?"; stty`;
    super('script', ['-qfc', line, '/dev/null'], { environment: { TERM: 'xterm' } });
  }

  /** Waits for what is shown after what was waited for before. */
  async shows(wanted: RegExp): Promise<string> {
    const found = await this.says(wanted, this.#read);
    this.#read += found.index + found[0].length;
    return found[0];
  }

  /** Types a line and waits for what comes of it. */
  async type(line: string, wanted: RegExp): Promise<string> {
    this.send(`${line}\r`);
    return this.shows(wanted);
  }

  /** Waits for the shell's prompt in the guest. */
  async attached(): Promise<void> {
    await this.shows(/\[Ctrl-\] opens the menu: .*quit\]/);
    await this.shows(/guest:\/root# /);
  }

  /** Waits for the end; the exit code, and the terminal's settings after that. */
  async finished(): Promise<{ code: number; settings: string }> {
    const code = await this.shows(/code=\d+/);
    this.child.stdin!.end();
    const settings = this.stdout.slice(this.#read);
    return { code: Number(code.slice(5)), settings: settings + (await this.ended).stdout.slice(this.stdout.length) };
  }
}

describe.skipIf(!hasScript)('virtio run on a terminal', () => {
  it('is the console of the guest, with a menu that pauses, saves and goes on', async () => {
    const image = folder.image('menu.img');
    const before = sha256(image);
    const saved = folder.path('menu.saved');
    const terminal = new Terminal('run', '--disk', image);
    await terminal.attached();
    await terminal.type(TYPED.answer, new RegExp(TYPED.said));
    // Ctrl-C is the guest's: it ends the guest's program, not this one.
    terminal.send('sleep 1000\r');
    await new Promise((resolve) => setTimeout(resolve, 300));
    terminal.send(CTRL_C);
    await terminal.type('echo "[$?]"', /\[130\]/);
    await terminal.type('printf written >/dev/vda; sync; echo $((1 + 1))-done', /2-done/);

    terminal.send(MENU);
    await terminal.shows(/\[running\] virtio> /);
    expect(await terminal.type('status', /│ .*menu\.img .*│/)).toMatch(/overlay .* 1048576 .*DRIVER_OK.*\(0x0f\)/);
    await terminal.type('pause', /\[paused\] virtio> /);
    await terminal.type('frobnicate it', /there is no command "frobnicate":\s+continue {5}let the guest go on/);
    await terminal.type('save', /save needs the name of a file: save FILE/);
    await terminal.type(`save ${image}`, /save: cannot write .*menu\.img: it is the disk image .*; name another file/);
    await terminal.type('save /nowhere/at/all', /save: cannot write \/nowhere\/at\/all: there is no folder/);
    // A habit ends no machine, and drops what was half typed.
    terminal.send(`qui${CTRL_C}`);
    await terminal.shows(/\[paused\] virtio> /);
    await terminal.type(`save ${saved}`, /saved in .*menu\.saved\s/);
    await terminal.type('help', /quit {9}end the machine/);
    await terminal.type('continue', /\[back in the guest\]/);
    await terminal.type(TYPED.answer, new RegExp(TYPED.said));

    terminal.send(MENU);
    await terminal.shows(/\[running\] virtio> /);
    terminal.send(CTRL_D);
    await terminal.shows(/\[back in the guest\]/);
    await terminal.type(TYPED.answer, new RegExp(TYPED.said));
    // Typed ahead, all in one go.
    terminal.send(`${MENU}pause\rquit\r`);
    const { code, settings } = await terminal.finished();
    expect(code).toBe(0);
    expect(settings).not.toMatch(/-icanon|-echo\b|-isig/);
    expect(sha256(image)).toBe(before);

    const again = new Terminal('run', '--from', saved);
    await again.attached();
    await again.type('head -c 7 /dev/vda; echo -again', /written-again/);
    await again.type('halt -f', /\[the guest has ended: reboot: System halted\]/);
    expect((await again.finished()).code).toBe(0);
  });

  it.skipIf(!hasCompiler)('with --suspend says what Linux has suspended, and wakes it up by a key', async () => {
    const terminal = new Terminal('run', '--suspend', '--disk', folder.image('suspended.img'));
    await terminal.attached();
    const device = '/sys/bus/virtio/devices/virtio0';
    await terminal.type(`echo 1 >${device}/suspend; echo $((1 + 1))-done`, /2-done/);
    terminal.send(MENU);
    await terminal.shows(/virtio> /);
    await terminal.type('status', /│ .*suspended\.img .*SUSPEND \(0x1b\) +│ yes /);
    await terminal.type('continue', /\[back in the guest\]/);
    await terminal.type(`echo 0 >${device}/suspend; echo $((1 + 1))-done`, /2-done/);
    for (let time = 1; time <= 2; time++) {
      terminal.send('until echo freeze >/sys/power/state; do :; done 2>/dev/null; echo $((1 + 1))-awake\r');
      // One that comes before it sleeps only keeps it from that.
      const keys = setInterval(() => terminal.send(' '), 2000);
      await terminal.shows(/2-awake/).finally(() => clearInterval(keys));
    }
    await terminal.type(`cat ${device}/suspend_stats`, /cycles 3\s+failures 0\s+resets 0/);
    terminal.send(`${MENU}quit\r`);
    expect((await terminal.finished()).code).toBe(0);
  });

  it('says of a saved machine with an image that is written in place how long it fits', async () => {
    const terminal = new Terminal('run', '--disk', `${folder.image('place.img')}:rw`);
    await terminal.attached();
    terminal.send(MENU);
    const fits = /saved in .*; it fits .*place\.img as it is now: quit before the guest writes there again/;
    await terminal.type(`save ${folder.path('place.saved')}`, fits);
    await terminal.type('quit', /quit\s/);
    expect((await terminal.finished()).code).toBe(0);
  });

  it('gives terminal and image back when it is told to end', async () => {
    const image = folder.image('term.img');
    const terminal = new Terminal('run', '--disk', `${image}:rw`);
    const pid = Number((await terminal.shows(/pid=\d+/)).slice(4));
    await terminal.attached();
    process.kill(pid, 'SIGTERM');
    const { code, settings } = await terminal.finished();
    expect(code).toBe(128 + 15);
    expect(settings).not.toMatch(/-icanon|-echo\b|-isig/);
    await (await openFileDisk(image, { readOnly: false })).close();
  });

  it('gives the cursor back when it is interrupted while the guest starts', async () => {
    const terminal = new Terminal('run', '--disk', folder.image('cursor.img'));
    await terminal.shows(/Starting the guest/);
    terminal.send(CTRL_C);
    const { code } = await terminal.finished();
    expect(code).toBe(128 + 2);
    expect(terminal.stdout.lastIndexOf('\x1b[?25h')).toBeGreaterThan(terminal.stdout.lastIndexOf('\x1b[?25l'));
  });
});

describe('virtio run with input from a pipe', () => {
  const disk = ['--disk', folder.image('piped.img')];

  it('types it on the console and ends when the shell has come to its end', async () => {
    const lines = ['uname -s', 'sleep 1', 'echo $((40 + 2))', 'cat', ...Array(300).fill('echo $((n = n + 1))')];
    const { code, stdout } = await virtio(['run', ...disk], { input: lines.map((line) => `${line}\n`).join('') });
    expect(code).toBe(0);
    expect(stdout).toMatch(/Linux\r\n.*\r\n42\r\n/s);
    // `cat` has taken the rest, and given it back.
    expect(stdout.match(/^echo \$\(\(n = n \+ 1\)\)\r$/gm)!.length).toBeGreaterThanOrEqual(300);
  });

  it('ends at once without any', async () => {
    expect(await virtio(['run', ...disk])).toMatchObject({ code: 0 });
  });

  // The other end, without a panic, comes on the terminal above.
  it('ends when the guest does, with exit code 1 after a panic', async () => {
    const panic = await virtio(['run', ...disk], { input: 'echo c >/proc/sysrq-trigger\n' });
    expect(panic.code).toBe(1);
    expect(panic.stdout).toContain('\n[the guest has ended: Kernel panic - not syncing: sysrq triggered crash]\n');
  });

  it("is not fooled by somebody else's last words", async () => {
    const input = 'echo "[    1.000000] reboot: System halted"; sleep 4; echo still $((1 + 1))\n';
    const { code, stdout } = await virtio(['run', ...disk], { input });
    expect(code).toBe(0);
    expect(stdout).toContain('still 2');
    expect(stdout).not.toContain('the guest has ended');
  });

  it('ends when nobody reads its output any more', async () => {
    const running = start(['run', ...disk]);
    running.send('yes much\n');
    await running.says(/much\r\nmuch\r\n/);
    running.child.stdout!.destroy();
    expect(await running.ended).toMatchObject({ code: 0, stderr: expect.not.stringContaining('EPIPE') });
  });
});
