import type { Page } from 'playwright-core';
import { expect, test } from 'vitest';
import { demoSite } from './demo_site.js';
import { choosePicture, expectObjects, heard, screenshot } from './driver.js';

const site = demoSite();

/** Press Tab until the element of a selector has the focus, which must be seen. */
async function tabTo(page: Page, selector: string): Promise<void> {
  for (let presses = 0; presses < 40; presses++) {
    await page.keyboard.press('Tab');
    const found = await page.evaluate((wanted) => {
      const { activeElement: active } = document;
      if (!active?.matches(wanted)) return null;
      return getComputedStyle(active).outlineStyle;
    }, selector);
    if (found === null) continue;
    expect(found).not.toBe('none');
    return;
  }
  throw new Error(`Tab never reached ${selector}`);
}

async function press(page: Page, ...keys: string[]): Promise<void> {
  for (const key of keys) await page.keyboard.press(key);
}

test('a picture is opened, asked and corrected without a mouse', async () => {
  const { page, errors } = await site.open('plain');
  await page.waitForSelector('#chip[data-state=ready]');
  await tabTo(page, '.sample');
  await press(page, 'Enter');
  await page.waitForSelector('#area[data-ready=true]');
  await page.waitForFunction(() => document.activeElement?.id === 'area');
  await heard(page, /picture is ready/);

  await press(page, 'ArrowRight', 'ArrowRight', 'ArrowDown');
  await heard(page, /^\d+, \d+$/);
  await press(page, 'Enter');
  await expectObjects(page, 1);
  await heard(page, /Object 1 covers [\d.]+ % of the picture/);
  await press(page, 'Shift+ArrowLeft', 'ArrowLeft', 'ArrowLeft', 'Shift+Enter');
  await expectObjects(page, 1);
  await screenshot(page, 'keyboard');

  await press(page, 'n', 'ArrowUp', 'Enter');
  await expectObjects(page, 2);
  await press(page, 'z', 'z', 'z');
  await expectObjects(page, 0);
  await press(page, 'Shift+Z');
  await expectObjects(page, 1);
  await press(page, 'Control+z');
  await expectObjects(page, 0);
  expect(errors).toEqual([]);
});

test('two corners make a box, Escape drops one, Delete an object', async () => {
  const { page } = await site.open('plain');
  await choosePicture(page);
  await press(page, 'b');
  await page.waitForSelector('#tool-box[aria-pressed=true]');
  await press(page, 'ArrowLeft', 'ArrowLeft', 'ArrowLeft', 'ArrowUp', 'ArrowUp', 'Enter');
  await heard(page, /First corner/);
  await press(page, 'Escape', 'Enter', 'Enter');
  await heard(page, /opposite corner must lie elsewhere/);
  for (let step = 0; step < 8; step++) await press(page, 'ArrowRight', 'ArrowDown');
  await press(page, 'Enter');
  await expectObjects(page, 1);
  await press(page, 'Delete');
  await expectObjects(page, 0);
  await heard(page, /deleted/);
});

test('the list is worked by keyboard, and the focus never falls off the page', async () => {
  const { page } = await site.open('plain');
  await choosePicture(page);
  await press(page, 'ArrowRight', 'Enter', 'n', 'ArrowDown', 'Enter');
  await expectObjects(page, 2);
  await tabTo(page, '.object:first-child .swatch');
  await press(page, 'Enter');
  await page.waitForSelector('.object:first-child .swatch[aria-pressed=true]');
  await tabTo(page, '[aria-label="Delete Object 1"]');
  await press(page, 'Enter');
  await expectObjects(page, 1);
  expect(await page.evaluate(() => document.activeElement?.closest('.object') !== null)).toBe(true);
  await page.focus('#clear');
  await press(page, 'Enter');
  expect(await page.evaluate(() => document.activeElement?.id)).toBe('area');
});
