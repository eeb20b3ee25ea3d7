import type { Browser, ElementHandle } from 'puppeteer-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { launchFirefox } from '../browser/browsers.js';
import { BUNDLE, DESKTOP, PATIENCE, PICTURE, screenshotFile } from './driver.js';
import { type DemoSite, startDemo } from './site.js';

let browser: Browser;
let site: DemoSite;

beforeAll(async () => {
  [browser, site] = await Promise.all([launchFirefox(), startDemo(BUNDLE)]);
});

afterAll(async () => {
  await browser.close();
  await site.close();
});

test.each([
  ['isolated', '?threads=2', /WebAssembly, 2 threads[\s\S]*Isolated page\s+yes/],
  ['plain', '', /WebAssembly, 1 thread[\s\S]*Isolated page\s+no/],
] as const)('%s: a picture is opened and clicked, and its mask comes', async (kind, query, facts) => {
  const page = await browser.newPage();
  await page.setViewport(DESKTOP.viewport);
  const errors: string[] = [];
  page.on('pageerror', (error) => errors.push(String(error)));
  await page.goto(site.page(kind, query));
  const chooser = (await page.$('#file')) as ElementHandle<HTMLInputElement>;
  await chooser.uploadFile(PICTURE);
  await page.waitForSelector('#area[data-ready=true]');
  const box = (await (await page.$('#picture'))!.boundingBox())!;
  await page.mouse.click(box.x + 0.3 * box.width, box.y + 0.5 * box.height);
  const size = () => page.$$eval('.object .size', (found) => found.map((one) => one.textContent));
  await expect.poll(size, PATIENCE).toEqual([expect.stringMatching(/%/)]);
  expect(await page.$eval('#timing', (panel) => (panel as HTMLElement).innerText)).toMatch(facts);
  const path = screenshotFile(`firefox-${kind}`);
  if (path) await page.screenshot({ path });
  expect(errors).toEqual([]);
  await page.close();
});
