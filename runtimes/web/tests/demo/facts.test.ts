/** What the timing panel says, and of which picture. */

import { readFileSync } from 'node:fs';
import type { Page } from 'playwright-core';
import { expect, test } from 'vitest';
import { demoSite } from './demo_site.js';
import { choosePicture, expectObjects, PICTURE, place, screenshot } from './driver.js';
import { ofWebBundle } from './site.js';

const site = demoSite();

async function facts(page: Page): Promise<(readonly [string, string])[]> {
  const [names, values] = [page.locator('#timing dt'), page.locator('#timing dd')];
  const texts = await values.allInnerTexts();
  return (await names.allInnerTexts()).map((name, index) => [name, texts[index]!] as const);
}

async function names(page: Page): Promise<string[]> {
  return (await facts(page)).map(([name]) => name);
}

test('of a bundle with several variants, each device has one line, and the one that is used none', async () => {
  site.faults.set('bundle.json', ofWebBundle);
  const { page } = await site.open('plain');
  await choosePicture(page);
  const told = await facts(page);
  expect(told.find(([name]) => name === 'Model')![1]).toMatch(/, int8$/);
  expect(told.filter(([name]) => name.startsWith('No '))).toEqual([
    ['No WebGPU', 'this browser offers no WebGPU adapter'],
  ]);
  await screenshot(page, 'variants');
});

test('times are those of the picture that is shown', async () => {
  const { page } = await site.open('plain');
  await choosePicture(page);
  await page.mouse.click(...(await place(page, 0.3, 0.5)));
  await expectObjects(page, 1);
  expect(await names(page)).toEqual(expect.arrayContaining(['Read picture', 'Last click']));
  await page.setInputFiles('#file', { name: 'again.png', mimeType: 'image/png', buffer: readFileSync(PICTURE) });
  await page.waitForSelector('#area[data-ready=true][aria-label^="again.png"]');
  expect(await names(page)).toContain('Read picture');
  expect(await names(page)).not.toContain('Last click');
});
