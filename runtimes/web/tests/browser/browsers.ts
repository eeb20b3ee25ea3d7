/** Debian's browsers, and a page that has the package loaded. */

import { execFileSync } from 'node:child_process';
import { type Browser, chromium, firefox, type Page } from 'playwright-core';
import type * as Package from '../../src/index.js';

/** The package's names, as globals of the page. */
export type PackageWindow = typeof Package;

const CHROMIUM = [
  '--no-sandbox',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-sync',
];
const FLAGS = { wasm: ['--disable-gpu'], webgpu: ['--enable-unsafe-webgpu', '--use-webgpu-adapter=swiftshader'] };
export const IN_FIREFOX = process.env['SAM_WEB_BROWSER'] === 'firefox';

/** Return the browser that `SAM_WEB_BROWSER` names, `firefox` or Chromium, with graphics for WebGPU or without. */
export function launch(kind: keyof typeof FLAGS): Promise<Browser> {
  if (IN_FIREFOX) {
    // A channel of Mozilla's own is driven by WebDriver BiDi; the others are Playwright's builds, which Debian has not.
    return firefox.launch({ executablePath: program('firefox-esr'), channel: 'moz-firefox' });
  }
  return chromium.launch({ executablePath: program('chromium'), args: [...CHROMIUM, ...FLAGS[kind]] });
}

function program(name: string): string {
  return execFileSync('which', [name], { encoding: 'utf8' }).trim();
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
