import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import { type Browser, chromium } from 'playwright-core';

/** The Chromium to test with: CHROMIUM of the environment, else what Debian calls so. */
export function findChromium(): string | undefined {
  const { CHROMIUM: given, PATH: path = '' } = process.env;
  if (given) return given;
  const candidates = [...path.split(delimiter), '/usr/bin'].map((folder) => join(folder, 'chromium'));
  return candidates.find(isExecutable);
}

/** A browser of its own, with an empty profile that goes when it is closed, and without traffic of its own. */
export function launch(executablePath: string): Promise<Browser> {
  return chromium.launch({
    executablePath,
    headless: true,
    // Chromium has no sandbox for root.
    chromiumSandbox: process.getuid?.() !== 0,
    args: [
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  });
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
