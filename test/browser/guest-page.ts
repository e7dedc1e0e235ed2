import type { Browser, Page } from 'playwright-core';
import { expect } from 'vitest';

const BOOT_MS = 240_000;
const COMMAND_MS = 120_000;

/** The example's page, used as a person would: by its buttons, its input line and what it shows. */
export class GuestPage {
  readonly page: Page;
  /** Of the page's scripts and policies, and requests to anywhere else. Empty when all went well. */
  readonly errors: string[] = [];
  #commands = 0;

  private constructor(page: Page) {
    this.page = page;
  }

  /** Opens the page; the guest has booted and waits for commands when this resolves. */
  static async open(browser: Browser, url: string): Promise<GuestPage> {
    const opened = new GuestPage(await browser.newPage());
    opened.#collectErrors(url);
    await opened.page.goto(url);
    await opened.booted();
    // The kernel's own messages would come between the output of commands.
    await opened.run('dmesg -n 1');
    return opened;
  }

  async booted(): Promise<void> {
    await this.#shows(/guest: ready, Linux \S+, disks: vda\n/, BOOT_MS);
  }

  /** Types a command line into the page; what it printed, after it has ended with success. */
  async run(command: string): Promise<string> {
    const id = 1000 + this.#commands++;
    // The console echoes what is typed: only the shell's own output has the sums.
    await this.page.getByLabel('Command').fill(`echo start $((${id})); ${command}; echo end $((${id})) $?`);
    await this.page.keyboard.press('Enter');
    const [, output, exitCode] = await this.#shows(
      new RegExp(`^start ${id}\n(.*?)^end ${id} (\\d+)$`, 'ms'),
      COMMAND_MS,
    );
    if (exitCode !== '0') throw new Error(`\`${command}\` ended with ${exitCode} in the guest: ${output}`);
    return output!;
  }

  /** Presses a button, which has to be possible, and waits until the page says that it is done. */
  async press(button: 'Pause' | 'Save' | 'Restore' | 'Continue'): Promise<void> {
    await this.page.getByRole('button', { name: button }).click();
    await this.says({ Pause: /^paused/, Save: /^saved/, Restore: /^restored/, Continue: /^running/ }[button]);
  }

  /** Presses Pause while the disk of slow-disk.ts has requests in hand; how many it were. */
  async pauseWithRequests(): Promise<number> {
    // All in one turn of the page: no request ends as fast as the processor stops.
    const script = `(() => {
      const count = requestsInFlight();
      if (count > 0) document.querySelector('#pause').click();
      return count;
    })()`;
    const end = Date.now() + COMMAND_MS;
    while (Date.now() < end) {
      const count = await this.page.evaluate<number>(script);
      if (count === 0) continue;
      await this.says(/^paused/);
      return count;
    }
    throw new Error('the guest has no request on its way');
  }

  async says(status: RegExp): Promise<void> {
    await expect.poll(() => this.page.getByRole('status').textContent(), { timeout: COMMAND_MS }).toMatch(status);
  }

  async #shows(pattern: RegExp, timeoutMs: number): Promise<RegExpExecArray> {
    const end = Date.now() + timeoutMs;
    for (;;) {
      const text = (await this.page.getByRole('log').textContent()) ?? '';
      const match = pattern.exec(text);
      if (match !== null) return match;
      const troubles = [...this.errors, await this.page.getByRole('status').textContent()].join('; ');
      if (Date.now() > end) throw new Error(`the page (${troubles}) does not show ${pattern}:\n${text.slice(-1500)}`);
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  }

  #collectErrors(url: string): void {
    this.page.on('pageerror', (error) => this.errors.push(error.stack ?? error.message));
    this.page.on('crash', () => this.errors.push('the page crashed'));
    this.page.on('console', (message) => {
      if (message.type() === 'error' || message.type() === 'warning') this.errors.push(message.text());
    });
    this.page.on('request', (request) => {
      const target = request.url();
      if (!target.startsWith(url) && !/^(blob|data):/.test(target)) this.errors.push(`request to ${target}`);
    });
  }
}
