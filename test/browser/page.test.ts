/** The page of examples/browser in a real browser: the stock v86, Debian, and a disk of ours. Skipped without Chromium. */
import { mkdtempSync, rmSync } from 'node:fs';
import { isBuiltin } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { type BuiltPage, buildPage, type PageOptions } from './built-page.ts';
import { findChromium, launch } from './chromium.ts';
import { GuestPage } from './guest-page.ts';

const executable = findChromium();
if (executable === undefined) console.warn('skipped: no chromium on PATH or in /usr/bin; CHROMIUM can name one');

const TEST_MS = 600_000;
const KIB = 2048;
const write = `dd if=/dev/urandom bs=64k count=${KIB / 64} 2>/dev/null | tee /dev/vda | md5sum; sync`;
const read = `echo 3 >/proc/sys/vm/drop_caches; dd if=/dev/vda bs=64k count=${KIB / 64} 2>/dev/null | md5sum`;

describe.skipIf(executable === undefined)('a page with a guest', () => {
  let browser: Browser;
  let screenshots: string;

  beforeAll(async () => {
    browser = await launch(executable!);
    screenshots = mkdtempSync(join(tmpdir(), 'virtio-screenshots-'));
  });
  afterAll(async () => {
    await browser.close();
    rmSync(screenshots, { recursive: true });
  });

  async function built(options?: PageOptions): Promise<BuiltPage> {
    const page = await buildPage(options);
    onTestFinished(() => page.close());
    return page;
  }

  async function opened(options?: PageOptions): Promise<GuestPage> {
    const guest = await GuestPage.open(browser, (await built(options)).url);
    onTestFinished(() => guest.page.close());
    return guest;
  }

  it('has nothing of Node in what comes from this package', async () => {
    const { modules } = await built();
    const ofNode = (path: string): string[] =>
      modules.get(path)!.filter((name) => isBuiltin(name) || name.startsWith('__vite-browser-external'));
    const [v86, ours] = [/\/v86\/build\/libv86/, /^(?!.*\/node_modules\/).*\/(dist|examples)\//].map((pattern) =>
      [...modules.keys()].filter((path) => pattern.test(path)),
    );
    expect(ours!.length).toBeGreaterThan(40);
    expect(ours!.flatMap(ofNode)).toEqual([]);
    // v86 has some, for Node alone: they would be seen.
    expect(v86!.flatMap(ofNode).length).toBeGreaterThan(0);
  });

  it(
    'keeps what was written through pause, save and restore, also after it was loaded anew',
    async () => {
      const guest = await opened();
      expect(await guest.run('cat /sys/block/vda/size')).toBe('65536\n');
      const before = await guest.run(write);
      expect(before).toMatch(/^[0-9a-f]{32} {2}-\n$/);
      expect(await guest.run(`name=before; ${read}`)).toBe(before);
      await guest.press('Pause');
      await guest.press('Save');
      await guest.press('Continue');

      const after = await guest.run(`name=after; ${write}`);
      expect(after).not.toBe(before);
      expect(await guest.run(read)).toBe(after);
      await guest.press('Pause');
      await guest.press('Restore');
      await guest.press('Continue');
      expect(await guest.run('echo $name')).toBe('before\n');
      expect(await guest.run(read)).toBe(before);
      const picture = await guest.page.screenshot({ path: join(screenshots, 'restored.png') });
      expect(picture.length).toBeGreaterThan(20_000);

      await guest.page.reload();
      await guest.press('Pause');
      await guest.press('Restore');
      await guest.press('Continue');
      expect(await guest.run('echo $name')).toBe('before\n');
      expect(await guest.run(read)).toBe(before);
      expect(await guest.run(write)).not.toBe(before);
      expect(guest.errors).toEqual([]);
    },
    TEST_MS,
  );

  it(
    'loses no request that was on its way when it was paused',
    async () => {
      const guest = await opened({ diskModule: fileURLToPath(new URL('./slow-disk.ts', import.meta.url)) });
      await guest.run('load /dev/vda 2 8 >/tmp/load.log 2>&1 & until [ -e /mnt/1.1 ]; do sleep 1; done');
      expect(await guest.pauseWithRequests()).toBeGreaterThan(0);
      await guest.press('Save');
      await guest.press('Continue');
      await guest.run('sleep 3');
      await guest.pauseWithRequests();
      await guest.press('Restore');
      await guest.press('Continue');
      await guest.run('until [ -e /mnt/1.5 ]; do sleep 1; done; touch /tmp/stop; wait');
      const log = await guest.run('cat /tmp/load.log');
      expect(log.match(/worker [12] stopped: \d+ files written and read back, 0 bad/g)).toHaveLength(2);
      expect(await guest.run('verify')).toMatch(/^verify: ok, \d+ files, 0 bad\n$/);
      expect(await guest.run('dmesg | grep -c "I/O error" || true')).toBe('0\n');
      await guest.page.screenshot({ path: join(screenshots, 'verified.png') });
      expect(guest.errors).toEqual([]);
    },
    TEST_MS,
  );
});
