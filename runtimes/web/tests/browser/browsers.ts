/** Debian's Chromium, with a page that has the package loaded. */

import { execFileSync } from 'node:child_process';
import { type Browser, chromium, type Page } from 'playwright-core';
import type * as Package from '../../src/index.js';

/** The package's names, as globals of the page. */
export type PackageWindow = typeof Package;

const COMMON = [
  '--no-sandbox',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-sync',
];
const FLAGS = { wasm: ['--disable-gpu'], webgpu: ['--enable-unsafe-webgpu', '--use-webgpu-adapter=swiftshader'] };

export function launch(kind: keyof typeof FLAGS): Promise<Browser> {
  const executablePath = execFileSync('which', ['chromium'], { encoding: 'utf8' }).trim();
  return chromium.launch({ executablePath, args: [...COMMON, ...FLAGS[kind]] });
}

/** Return a page in a profile of its own; what it writes to the console as an error is kept in `errors`. */
export async function openPage(browser: Browser, url: string): Promise<{ page: Page; errors: string[] }> {
  const page = await (await browser.newContext()).newPage();
  const errors: string[] = [];
  page.on('console', (message) => {
    if (message.type() === 'error') errors.push(message.text());
  });
  await page.goto(url);
  await page.waitForFunction('globalThis.ready === true');
  return { page, errors };
}
