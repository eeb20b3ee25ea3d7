/** The page as a person has it before them: open it, wait for what it says, look at it, and take pictures of it. */

import { mkdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import type { Browser, BrowserContextOptions, Page } from 'playwright-core';
import { expect } from 'vitest';
import type axe from 'axe-core';
import { FOLDER, readCases } from '../browser/cases.js';

const [made] = readCases();
export const CASE = made!;
export const BUNDLE = join(FOLDER, CASE.bundle);
export const PICTURE = join(FOLDER, CASE.picture);
export const EMBEDDING = join(FOLDER, CASE.embedding);
export const DESKTOP = { viewport: { width: 1280, height: 800 } };
/** For what a busy machine does late. */
export const PATIENCE = { timeout: 20_000 };
const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

export interface Opened {
  readonly page: Page;
  /** What went wrong in the page's scripts. */
  readonly errors: string[];
}

/** Return the page in a profile of its own. */
export async function open(browser: Browser, url: string, options: BrowserContextOptions = DESKTOP): Promise<Opened> {
  const page = await (await browser.newContext(options)).newPage();
  const errors: string[] = [];
  page.on('pageerror', (error) => errors.push(error.message));
  await page.goto(url);
  return { page, errors };
}

/** Choose the picture of the tests, and wait until it can be asked. */
export async function choosePicture(page: Page): Promise<void> {
  await page.setInputFiles('#file', PICTURE);
  await page.waitForSelector('#area[data-ready=true]');
}

/** Wait until the list has so many objects, all of them with their masks. */
export async function expectObjects(page: Page, count: number): Promise<void> {
  await expect.poll(() => objectCount(page), PATIENCE).toBe(count);
}

/** Return how many objects the list has, NaN while one still waits for its mask. */
export async function objectCount(page: Page): Promise<number> {
  const sizes = await page.locator('.object .size').allInnerTexts();
  return sizes.includes('…') ? NaN : sizes.length;
}

/** Return a place of the window by parts of the picture, 0..1. */
export async function place(page: Page, x: number, y: number): Promise<[number, number]> {
  const box = (await page.locator('#picture').boundingBox())!;
  return [box.x + x * box.width, box.y + y * box.height];
}

/** Return the sum of what is drawn over the picture, which changes with it. */
export function drawn(page: Page): Promise<number> {
  return page.evaluate(() => {
    const canvas = document.querySelector<HTMLCanvasElement>('#overlay')!;
    const { data } = canvas.getContext('2d')!.getImageData(0, 0, canvas.width, canvas.height);
    return data.reduce((sum, value, index) => (sum + value * (1 + (index % 1009))) % 1_000_000_007, 0);
  });
}

/** Wait until a screen reader has been told what matches. */
export async function heard(page: Page, text: RegExp): Promise<void> {
  await page.waitForFunction(
    ([source, flags]) => new RegExp(source!, flags).test(document.querySelector('#live')!.textContent),
    [text.source, text.flags],
  );
}

export async function screenshot(page: Page, name: string): Promise<void> {
  const path = screenshotFile(name);
  if (path) await page.screenshot({ path });
}

/** Return where a picture of the page goes, null if none is wanted. */
export function screenshotFile(name: string): `${string}.png` | null {
  const folder = process.env['SAM_DEMO_SCREENSHOTS'];
  if (!folder) return null;
  mkdirSync(folder, { recursive: true });
  return `${folder}/${name}.png`;
}

/** Fail with the rules of WCAG 2.2 AA, and of good practice, that the page breaks as it stands. */
export async function expectAccessible(page: Page): Promise<void> {
  await page.evaluate(() => Promise.all(document.getAnimations().map((one) => one.finished.catch(() => undefined))));
  await page.evaluate(AXE);
  const broken = await page.evaluate(async () => {
    const { violations } = await (globalThis as unknown as { axe: typeof axe }).axe.run();
    return violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html).join(' ; ')}`);
  });
  expect(broken).toEqual([]);
}
