/** What a person sees first: before the model is found, in their colours, with edges that can be seen. */

import { createReadStream } from 'node:fs';
import type { ServerResponse } from 'node:http';
import type { Page } from 'playwright-core';
import { expect, test } from 'vitest';
import { demoSite } from './demo_site.js';
import { choosePicture } from './driver.js';

/** WCAG 2.2, 1.4.11: of parts of the interface, against what is beside them. */
const LEAST_CONTRAST = 3;
const site = demoSite();

test('before the bundle is found the page takes pictures, and promises nothing', async () => {
  const waiting: [ServerResponse, string][] = [];
  site.faults.set('bundle.json', (_, response, file) => waiting.push([response, file]));
  const { page, errors } = await site.open('plain');
  await page.waitForSelector('.sample');
  expect(await page.innerText('#privacy')).toBe('');
  const navigates = await page.evaluate(async () => {
    const blob = await (await fetch('./samples/coins.jpg')).blob();
    const dataTransfer = new DataTransfer();
    dataTransfer.items.add(new File([blob], 'coins.jpg', { type: blob.type }));
    return document.dispatchEvent(new DragEvent('drop', { bubbles: true, cancelable: true, dataTransfer }));
  });
  expect(navigates).toBe(false);
  await page.waitForSelector('#start', { state: 'hidden' });
  await page.locator('#busy-title', { hasText: 'Getting the model' }).waitFor();
  await expect.poll(() => waiting.length).toBe(1);
  site.faults.clear();
  for (const [response, file] of waiting) createReadStream(file).pipe(response);
  await page.waitForSelector('#area[data-ready=true]');
  expect(await page.textContent('#privacy')).toMatch(/stay on this device/);
  expect(errors).toEqual([]);
});

test('colours that were chosen are there before any script of the page is', async () => {
  const { page } = await site.open('plain');
  const dark = await page.evaluate(() => {
    document.documentElement.dataset['theme'] = 'dark';
    return getComputedStyle(document.body).backgroundColor;
  });
  await page.reload();
  while ((await page.getAttribute('html', 'data-theme')) !== 'dark') await page.click('#theme');
  site.faults.set('.js', () => undefined);
  await page.reload({ waitUntil: 'commit' });
  await page.waitForSelector('#choose');
  expect(await page.evaluate(() => getComputedStyle(document.body).backgroundColor)).toBe(dark);
  expect(await page.locator('.sample').count()).toBe(0);
});

test('edges of controls, and the half of the switch that is on, can be seen in light and dark', async () => {
  const { page } = await site.open('plain');
  await choosePicture(page);
  for (const colorScheme of ['light', 'dark'] as const) {
    await page.emulateMedia({ colorScheme });
    await page.evaluate(() => Promise.all(document.getAnimations().map((one) => one.finished)));
    const surface = await colour(page, '.panel', 'backgroundColor');
    const pairs = {
      'the select': [await colour(page, '#grid', 'borderTopColor'), surface],
      'a button': [await colour(page, '#busy-cancel', 'borderTopColor'), surface],
      'the switch': [
        await colour(page, '.switch input:checked + span', 'backgroundColor'),
        await colour(page, '.switch', 'backgroundColor'),
      ],
    } as const;
    for (const [name, [one, other]] of Object.entries(pairs)) {
      expect(contrast(one, other), `${name}, ${colorScheme}`).toBeGreaterThanOrEqual(LEAST_CONTRAST);
    }
  }
});

type Rgb = readonly [number, number, number];

async function colour(page: Page, selector: string, property: 'backgroundColor' | 'borderTopColor'): Promise<Rgb> {
  const text = await page.$eval(selector, (found, name) => getComputedStyle(found)[name], property);
  return text.match(/\d+/g)!.slice(0, 3).map(Number) as unknown as Rgb;
}

/** Return the contrast of two colours as WCAG defines it. */
function contrast(one: Rgb, other: Rgb): number {
  const [less, more] = [luminance(one), luminance(other)].sort((a, b) => a - b) as [number, number];
  return (more + 0.05) / (less + 0.05);
}

function luminance(rgb: Rgb): number {
  const [red, green, blue] = rgb.map((value) => {
    const part = value / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  }) as [number, number, number];
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}
