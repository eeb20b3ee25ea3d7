/** Debian's browsers, and pages that have the package loaded. */

import { execFileSync } from 'node:child_process';
import { type Browser, chromium } from 'playwright-core';
import puppeteer, { type Browser as Firefox } from 'puppeteer-core';
import type * as Package from '../../src/index.js';

/** The package's names, as globals of the page. */
export type PackageWindow = typeof Package;

export interface PackagePage {
  /** What it wrote to the console as an error. */
  readonly errors: string[];
  evaluate<T>(work: () => T | Promise<T>): Promise<T>;
  evaluate<T, G>(work: (given: G) => T | Promise<T>, given: G): Promise<T>;
}

export interface PackageBrowser {
  /** Return a page in a profile of its own. */
  open(url: string): Promise<PackagePage>;
  closePages(): Promise<void>;
  close(): Promise<void>;
}

/** What the pages of both drivers have. */
interface Tab extends Omit<PackagePage, 'errors'> {
  on(event: 'console', listener: (message: { type(): string; text(): string }) => void): void;
  goto(url: string): Promise<unknown>;
  waitForFunction(expression: string): Promise<unknown>;
}

interface Profile {
  newPage(): Promise<unknown>;
  close(): Promise<void>;
}

const CHROMIUM = [
  '--no-sandbox',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-sync',
];
const FLAGS = { wasm: ['--disable-gpu'], webgpu: ['--enable-unsafe-webgpu', '--use-webgpu-adapter=swiftshader'] };

/** Return Chromium, with graphics for WebGPU or without. */
export function launch(kind: keyof typeof FLAGS): Promise<Browser> {
  return chromium.launch({ executablePath: program('chromium'), args: [...CHROMIUM, ...FLAGS[kind]] });
}

/** Return Firefox, driven by WebDriver BiDi: Playwright drives builds of its own only, which Debian has not. */
export function launchFirefox(): Promise<Firefox> {
  return puppeteer.launch({ browser: 'firefox', executablePath: program('firefox-esr') });
}

/** Return the browser that `SAM_WEB_BROWSER` names: `firefox`, or Chromium if it names none. */
export async function startBrowser(kind: keyof typeof FLAGS = 'wasm'): Promise<PackageBrowser> {
  if (process.env['SAM_WEB_BROWSER'] === 'firefox') {
    const firefox = await launchFirefox();
    return packageBrowser(
      () => firefox.createBrowserContext(),
      () => firefox.close(),
    );
  }
  const browser = await launch(kind);
  return packageBrowser(
    () => browser.newContext(),
    () => browser.close(),
  );
}

function packageBrowser(newProfile: () => Promise<Profile>, close: () => Promise<void>): PackageBrowser {
  const profiles: Profile[] = [];
  return {
    open: async (url) => {
      const profile = await newProfile();
      profiles.push(profile);
      return opened((await profile.newPage()) as Tab, url);
    },
    closePages: async () => {
      await Promise.all(profiles.splice(0).map((profile) => profile.close()));
    },
    close,
  };
}

async function opened(tab: Tab, url: string): Promise<PackagePage> {
  const errors: string[] = [];
  tab.on('console', (message) => {
    if (message.type() === 'error') errors.push(message.text());
  });
  await tab.goto(url);
  await tab.waitForFunction('globalThis.ready === true');
  return Object.assign(tab, { errors });
}

function program(name: string): string {
  return execFileSync('which', [name], { encoding: 'utf8' }).trim();
}
