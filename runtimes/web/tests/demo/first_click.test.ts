import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { launch } from '../browser/browsers.js';
import { BUNDLE, choosePicture, drawn, expectAccessible, expectObjects, open, PATIENCE, place, screenshot } from './driver.js';
import { type DemoSite, startDemo } from './site.js';

let browser: Browser;
let site: DemoSite;

beforeAll(async () => {
  [browser, site] = await Promise.all([launch('wasm'), startDemo(BUNDLE)]);
});

afterAll(async () => {
  await browser.close();
  await site.close();
});

test('a picture is opened and clicked, and its mask drawn', async () => {
  const { page, errors } = await open(browser, site.page('isolated', '?threads=2'));
  await choosePicture(page);
  const before = await drawn(page);
  await page.mouse.click(...(await place(page, 0.3, 0.5)));
  await expectObjects(page, 1);
  await expect.poll(() => drawn(page), PATIENCE).not.toBe(before);
  expect(await page.innerText('#timing')).toMatch(/WebAssembly, 2 threads/);
  await expectAccessible(page);
  await screenshot(page, `first-click-${browser.browserType().name()}`);
  expect(errors).toEqual([]);
});
