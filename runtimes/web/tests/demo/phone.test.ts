import type { CDPSession, Page } from 'playwright-core';
import { expect, test } from 'vitest';
import { demoSite } from './demo_site.js';
import { choosePicture, expectAccessible, expectObjects, place, screenshot } from './driver.js';
import { answersTo } from './site.js';

const PHONE = { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true, deviceScaleFactor: 2 };
const SMALL_PHONE = { ...PHONE, viewport: { width: 320, height: 640 } };
const FINGER_PIXELS = 44;
const site = demoSite();

async function touch(session: CDPSession, type: 'touchStart' | 'touchMove' | 'touchEnd', at?: [number, number]) {
  const touchPoints = at ? [{ x: at[0], y: at[1] }] : [];
  await session.send('Input.dispatchTouchEvent', { type, touchPoints });
}

/** Return what is shown, can be tapped, and is too small for a finger or partly beyond the edge. */
function smallTargets(page: Page): Promise<string[]> {
  return page.evaluate((least) => {
    const shown = [...document.querySelectorAll('button, select, summary, label:has(> input), .object input')];
    return shown
      .map((target) => ({ name: target.id || target.className || target.tagName, box: target.getBoundingClientRect() }))
      .filter(({ box }) => box.width > 0)
      .filter(({ box }) => box.width < least || box.height < least || box.left < 0 || box.right > innerWidth)
      .map(({ name, box }) => `${name} ${box.width}x${box.height}`);
  }, FINGER_PIXELS);
}

test('tap, long press and drag on a phone, which nothing overflows', async () => {
  const { page, errors } = await site.open('plain', '', PHONE);
  await page.waitForSelector('#chip[data-state=ready]');
  await screenshot(page, 'phone-start');
  expect(await smallTargets(page)).toEqual([]);
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
  expect(await smallTargets(page)).toEqual([]);
  expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(PHONE.viewport.width);
  await expectAccessible(page);
  expect(errors).toEqual([]);
});

test('while everything is looked for, and after an error, a finger hits what there is', async () => {
  const { page } = await site.open('plain', '', PHONE);
  await choosePicture(page);
  await page.selectOption('#grid', '32');
  await page.tap('#everything');
  await page.waitForSelector('#busy-cancel');
  expect(await smallTargets(page)).toEqual([]);
  await page.tap('#busy-cancel');
  await page.waitForSelector('#busy', { state: 'hidden' });
  await page.setInputFiles('#file', { name: 'a.txt', mimeType: 'text/plain', buffer: Buffer.from('no picture') });
  await page.getByRole('alert').getByText('not a picture').waitFor();
  expect(await smallTargets(page)).toEqual([]);
});

test('on a small phone hints fit, and what is told is seen from the panel, and no longer than it holds', async () => {
  site.faults.set('bundle.json', answersTo('box'));
  const { page } = await site.open('plain', '', SMALL_PHONE);
  await choosePicture(page);
  const fits = () =>
    page.$eval('#hint', (hint) => {
      const [own, stage] = [hint.getBoundingClientRect(), hint.parentElement!.getBoundingClientRect()];
      return own.left >= stage.left && own.right <= stage.right && hint.scrollWidth <= hint.clientWidth;
    });
  expect(await fits()).toBe(true);
  await page.touchscreen.tap(...(await place(page, 0.2, 0.2)));
  const toast = page.locator('#toast.on');
  await toast.getByText('First corner set').waitFor();
  await page.touchscreen.tap(...(await place(page, 0.8, 0.85)));
  await expectObjects(page, 1);
  expect(await toast.count()).toBe(0);
  expect(await fits()).toBe(true);
  expect(await smallTargets(page)).toEqual([]);
  await screenshot(page, 'phone-small');

  await page.evaluate(() => {
    scrollTo(0, document.body.scrollHeight);
  });
  await page.tap('#tool-point', { force: true });
  await toast.getByText('answers to boxes').waitFor();
  const [told, tools] = [(await toast.boundingBox())!, (await page.locator('#tools').boundingBox())!];
  expect(told.y).toBeGreaterThan(0);
  expect(told.y + told.height).toBeLessThanOrEqual(tools.y);
  await screenshot(page, 'phone-toast');
  expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(
    SMALL_PHONE.viewport.width,
  );
});
