/** `virtio run --exec`: commands in a real guest, disks of three modes, saving and going on in another process. */
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { hasCompiler, sha256, virtio, workFolder } from './virtio.ts';

const folder = workFolder();
/** Most guests here have one disk, so that one boot does for them all. */
const disk = ['--disk', folder.image('any.img')];

interface RunReport {
  readonly command: string;
  readonly output: string;
  readonly exitCode: number;
  readonly paused: boolean;
  readonly disks: readonly Record<string, unknown>[];
  readonly saved: string | null;
}

describe('virtio run --exec', () => {
  it('prints what the command prints, passes its exit code on, and writes its report to a file', async () => {
    const file = folder.path('report.json');
    const command = 'echo out; echo err >&2; exit 7';
    const { code, stdout } = await virtio(['run', ...disk, '--exec', command, '--json', file]);
    expect({ code, stdout }).toEqual({ code: 7, stdout: 'out\nerr\n' });
    expect(JSON.parse(readFileSync(file, 'utf8'))).toMatchObject({ output: 'out\nerr\n', exitCode: 7, saved: null });
  });

  it('reports as JSON and nothing else on standard output; a disk with :ro says so and refuses writes', async () => {
    const [one, two] = [folder.image('report-1.img'), folder.image('report-2.img', 2 << 20)];
    const before = sha256(two);
    const command = [
      'cat /sys/block/vd?/size /sys/block/vdb/ro',
      'dd if=/dev/zero of=/dev/vda bs=4k count=3 conv=fsync 2>/dev/null',
      'dd if=/dev/zero of=/dev/vdb bs=4k count=1 oflag=direct',
    ].join('\n');
    const args = ['run', '--disk', one, '--disk', `${two}:ro`, '--exec', command, '--json'];
    const { code, stdout } = await virtio(args);
    expect(code).toBe(1);
    const status = 'ACKNOWLEDGE|DRIVER|DRIVER_OK|FEATURES_OK (0x0f)';
    expect(JSON.parse(stdout)).toEqual({
      command,
      output: expect.stringMatching(/^2048\n4096\n1\ndd: error writing '\/dev\/vdb': Operation not permitted\n/),
      exitCode: 1,
      paused: false,
      disks: [
        {
          path: one,
          writesTo: 'overlay',
          bytes: 1 << 20,
          status,
          suspended: null,
          inFlight: 0,
          overlayBytes: 12288,
          failure: null,
        },
        {
          path: two,
          writesTo: 'nowhere',
          bytes: 2 << 20,
          status,
          suspended: null,
          inFlight: 0,
          overlayBytes: null,
          failure: null,
        },
      ],
      saved: null,
    });
    expect(sha256(two)).toBe(before);
  });

  // The other ways in which a guest ends are seen on its console: terminal.test.ts.
  it('does not wait for ever for a guest that is through', async () => {
    const { code, stdout, stderr } = await virtio(['run', ...disk, '--exec', 'reboot -f']);
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toContain('virtio: the guest ended before the command did: reboot: Restarting system\n');
  });

  it('writes to the image of a disk with :rw; without a mode only the guest sees what it wrote', async () => {
    const [written, kept] = [folder.image('rw.img'), folder.image('overlay.img')];
    writeFileSync(kept, Buffer.alloc(1 << 20, 'before '));
    const before = sha256(kept);
    const command = [
      'printf "from the guest" >/dev/vda; printf changed >/dev/vdb; sync',
      'echo 3 >/proc/sys/vm/drop_caches; head -c 14 /dev/vdb',
    ].join('\n');
    const result = await virtio(['run', '--disk', `${written}:rw`, '--disk', kept, '--exec', command]);
    expect(result).toMatchObject({ code: 0, stdout: 'changedbefore ' });
    expect(sha256(kept)).toBe(before);
    expect(readFileSync(written).subarray(0, 15).toString()).toBe('from the guest\0');
    expect(statSync(written).size).toBe(1 << 20);
  });
});

describe('a machine that was saved', () => {
  it('goes on in a new process and another folder, with its disks, its memory and its running programs', async () => {
    const [one, two] = [folder.image('saved-1.img', 4 << 20), folder.image('saved-2.img', 4 << 20)];
    const saved = folder.path('two-disks.saved');
    const before = [sha256(one), sha256(two)];
    const work = [
      'mke2fs -q /dev/vda',
      'mount -t ext4 /dev/vda /mnt',
      'echo "in a file" >/mnt/file',
      'printf "raw bytes" | dd of=/dev/vdb bs=512 seek=3 conv=notrunc 2>/dev/null',
      'echo "in memory" >/tmp/file',
      '(while :; do n=$((n + 1)); echo $n >/tmp/count; sleep 0.1; done) >/dev/null 2>&1 &',
    ];
    const args = ['run', '--disk', 'saved-1.img', '--disk', 'saved-2.img', '--exec', work.join('\n')];
    const first = await virtio([...args, '--save', 'two-disks.saved', '--json'], { folder: folder.path('.') });
    expect(first.code).toBe(0);
    expect(JSON.parse(first.stdout) as RunReport).toMatchObject({ paused: true, saved: 'two-disks.saved' });

    const check = [
      'n=$(cat /tmp/count); sleep 1; [ $(cat /tmp/count) -gt $n ] && echo counting',
      'cat /tmp/file /mnt/file',
      'umount /mnt && mount -t ext4 /dev/vda /mnt && cat /mnt/file',
      'echo 3 >/proc/sys/vm/drop_caches; dd if=/dev/vdb bs=512 skip=3 count=1 2>/dev/null | head -c 9',
      'dmesg | grep -c "I/O error"',
    ];
    const second = await virtio(['run', '--from', saved, '--exec', check.join('\n')], { folder: '/' });
    expect(second.stdout).toBe('counting\nin memory\nin a file\nin a file\nraw bytes0\n');
    // And a second time, from images that have moved.
    const command = 'umount /mnt && mount -t ext4 /dev/vda /mnt && cat /mnt/file';
    const third = await virtio(['run', '--from', saved, '--disk', one, '--disk', two, '--exec', command]);
    expect(third).toMatchObject({ code: 0, stdout: 'in a file\n' });
    expect([sha256(one), sha256(two)]).toEqual(before);
  });

  it('does not go on after that: an image that is written in place fits what was saved', async () => {
    const image = folder.image('busy.img', 4 << 20);
    const saved = folder.path('busy.saved');
    // Writes all the time, in the background.
    const command =
      '(while :; do n=$((n + 1)); printf "%08d" $n | dd of=/dev/vda bs=8 count=1 conv=fsync; done) >/dev/null 2>&1 & sleep 0.3';
    expect(await virtio(['run', '--disk', `${image}:rw`, '--exec', command, '--save', saved])).toMatchObject({
      code: 0,
    });
    const check = 'a=$(head -c 8 /dev/vda); sleep 1; [ $(head -c 8 /dev/vda) -gt $a ] && echo writing';
    expect(await virtio(['run', '--from', saved, '--exec', check])).toMatchObject({ code: 0, stdout: 'writing\n' });
  });

  it.skipIf(!hasCompiler)('with a disk that Linux has suspended goes on with it, and Linux resumes it', async () => {
    const image = folder.image('suspended.img');
    const saved = folder.path('suspended.saved');
    const enter = 'cd /sys/bus/virtio/devices/virtio0 || exit 1';
    const suspend = `${enter}; printf kept >/dev/vda; sync; echo 1 >suspend; cat suspend`;
    const first = await virtio(['run', '--suspend', '--disk', image, '--exec', suspend, '--save', saved, '--json']);
    const status = 'ACKNOWLEDGE|DRIVER|FEATURES_OK|SUSPEND (0x1b)';
    expect(JSON.parse(first.stdout) as RunReport).toMatchObject({
      output: '1\n',
      exitCode: 0,
      disks: [{ status, suspended: true }],
    });
    const resume = `${enter}; cat suspend; echo 0 >suspend; cat suspend_stats; dd if=/dev/vda iflag=direct count=1 2>&- | head -c 4`;
    const second = await virtio(['run', '--from', saved, '--exec', resume, '--json']);
    expect(JSON.parse(second.stdout) as RunReport).toMatchObject({
      output: expect.stringMatching(/^1\nstate running\ncycles 1\nfailures 0\nresets 0\n.*kept$/s),
      exitCode: 0,
      disks: [{ status: 'ACKNOWLEDGE|DRIVER|DRIVER_OK|FEATURES_OK (0x0f)', suspended: false }],
    });
  });

  it('is not saved over one of its images', async () => {
    const image = folder.image('precious.img');
    const before = sha256(image);
    const { code, stderr } = await virtio(['run', '--disk', image, '--exec', 'true', '--save', image]);
    expect(code).toBe(1);
    expect(stderr).toBe(`virtio: cannot write ${image}: it is the disk image ${image}; name another file\n`);
    expect(sha256(image)).toBe(before);
  });
});
