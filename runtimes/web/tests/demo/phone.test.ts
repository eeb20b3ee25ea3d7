import type { Browser, CDPSession, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { launch } from '../browser/browsers.js';
import { BUNDLE, choosePicture, expectAccessible, expectObjects, open, place, screenshot } from './driver.js';
import { type DemoSite, startDemo } from './site.js';

const PHONE = { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true, deviceScaleFactor: 2 };
const FINGER_PIXELS = 44;
let browser: Browser;
let site: DemoSite;

beforeAll(async () => {
  [browser, site] = await Promise.all([launch('wasm'), startDemo(BUNDLE)]);
});

afterAll(async () => {
  await browser.close();
  await site.close();
});

async function touch(session: CDPSession, type: 'touchStart' | 'touchMove' | 'touchEnd', at?: [number, number]) {
  const touchPoints = at ? [{ x: at[0], y: at[1] }] : [];
  await session.send('Input.dispatchTouchEvent', { type, touchPoints });
}

/** Return the buttons that are shown and too small for a finger. */
function smallButtons(page: Page): Promise<string[]> {
  return page.evaluate((least) => {
    const shown = [...document.querySelectorAll('.tools button, .top button, .object button')];
    return shown
      .map((button) => ({ name: button.id || button.className, box: button.getBoundingClientRect() }))
      .filter(({ box }) => box.width > 0 && (box.width < least || box.height < least))
      .map(({ name, box }) => `${name} ${box.width}x${box.height}`);
  }, FINGER_PIXELS);
}

test('tap, long press and drag on a phone, which nothing overflows', async () => {
  const { page, errors } = await open(browser, site.page('plain'), PHONE);
  await page.waitForSelector('#chip[data-state=ready]');
  await screenshot(page, 'phone-start');
  await choosePicture(page);
  const session = await page.context().newCDPSession(page);
  await page.touchscreen.tap(...(await place(page, 0.4, 0.5)));
  await expectObjects(page, 1);

  const press = await place(page, 0.8, 0.2);
  await touch(session, 'touchStart', press);
  await page.waitForFunction(() => !document.querySelector<HTMLButtonElement>('#undo')!.disabled);
  await page.waitForTimeout(700);
  await touch(session, 'touchEnd');
  await expectObjects(page, 1);
  await page.tap('#undo');
  await page.waitForFunction(() => !document.querySelector<HTMLButtonElement>('#redo')!.disabled);
  await expectObjects(page, 1);

  // A drag begins before a long press would, so nothing is looked up on its way.
  const way = await Promise.all([0.2, 0.4, 0.6, 0.8].map((part) => place(page, part, part)));
  await touch(session, 'touchStart', way[0]);
  for (const at of way.slice(1)) await touch(session, 'touchMove', at);
  // A finger that lifts while it moves has flung, and the tap after that is taken for one that stops it.
  await page.waitForTimeout(300);
  await touch(session, 'touchMove', way.at(-1));
  await touch(session, 'touchEnd');
  await expectObjects(page, 2);

  await page.tap('#tool-box');
  await page.waitForSelector('#tool-box[aria-pressed=true]');
  await page.touchscreen.tap(...(await place(page, 0.1, 0.1)));
  await page.touchscreen.tap(...(await place(page, 0.5, 0.9)));
  await expectObjects(page, 3);
  await screenshot(page, 'phone');
  expect(await smallButtons(page)).toEqual([]);
  expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(PHONE.viewport.width);
  await expectAccessible(page);
  expect(errors).toEqual([]);
});
