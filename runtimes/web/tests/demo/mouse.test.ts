import { readFileSync } from 'node:fs';
import type { Page } from 'playwright-core';
import { expect, test } from 'vitest';
import { decodeRle } from '../../src/rle.js';
import type { CocoDocument } from '../../demo/src/coco.js';
import { demoSite } from './demo_site.js';
import {
  choosePicture,
  drawn,
  expectAccessible,
  expectObjects,
  objectCount,
  PATIENCE,
  place,
  screenshot,
} from './driver.js';
import { answersTo } from './site.js';

const site = demoSite();

async function drag(page: Page, from: readonly [number, number], to: readonly [number, number]): Promise<void> {
  await page.mouse.move(...(await place(page, ...from)));
  await page.mouse.down();
  await page.mouse.move(...(await place(page, ...to)), { steps: 4 });
  await page.mouse.up();
}

async function saved(page: Page, button: string): Promise<{ name: string; bytes: Buffer }> {
  const [download] = await Promise.all([page.waitForEvent('download'), page.click(button)]);
  return { name: download.suggestedFilename(), bytes: readFileSync(await download.path()) };
}

test('from the first look to the files: hover, click, Shift-click, box, undo, names, downloads', async () => {
  const { page, errors } = await site.open('isolated');
  await expectAccessible(page);
  await screenshot(page, 'start');
  await choosePicture(page);
  const before = await drawn(page);
  await page.mouse.move(...(await place(page, 0.3, 0.5)));
  await expect.poll(() => drawn(page), PATIENCE).not.toBe(before);
  await expectObjects(page, 0);

  await page.mouse.click(...(await place(page, 0.3, 0.5)));
  await expectObjects(page, 1);
  await page.keyboard.down('Shift');
  await page.mouse.click(...(await place(page, 0.8, 0.2)));
  await page.keyboard.up('Shift');
  await expectObjects(page, 1);
  await drag(page, [0.2, 0.2], [0.8, 0.85]);
  await expectObjects(page, 2);
  await screenshot(page, 'after-boxes');

  for (let step = 0; step < 3; step++) await page.click('#undo');
  await expectObjects(page, 0);
  expect(await page.isDisabled('#undo')).toBe(true);
  for (let step = 0; step < 3; step++) await page.click('#redo');
  await expectObjects(page, 2);

  await page.fill('.object:first-child .name', 'cup');
  await page.keyboard.press('Enter');
  const coco = await saved(page, '#save-coco');
  const { annotations, images } = JSON.parse(coco.bytes.toString()) as CocoDocument;
  expect(images[0]).toMatchObject({ width: 100, height: 60 });
  expect(annotations.map(({ name }) => name)).toEqual(['cup', 'Object 2']);
  for (const { segmentation, area } of annotations) {
    expect(decodeRle(segmentation).reduce((sum, value) => sum + value, 0)).toBe(area);
  }
  for (const button of ['#save-overlay', '#save-cutout']) {
    const { name, bytes } = await saved(page, button);
    expect(name).toMatch(/-(masks|cutout)\.png$/);
    expect(bytes.subarray(1, 4).toString()).toBe('PNG');
  }

  await page.click('.object:first-child [aria-label="Hide cup"]');
  await page.click('.object:last-child [aria-label="Delete Object 2"]');
  await expectObjects(page, 1);
  expect(await page.isDisabled('#save-coco')).toBe(true);
  expect(errors).toEqual([]);
});

test('the corners of a box can be moved, and a letter typed into a name is no shortcut', async () => {
  const { page } = await site.open('plain');
  await choosePicture(page);
  await drag(page, [0.2, 0.2], [0.6, 0.6]);
  await expectObjects(page, 1);
  const small = await drawn(page);
  await drag(page, [0.6, 0.6], [0.9, 0.95]);
  await expectObjects(page, 1);
  await expect.poll(() => drawn(page), PATIENCE).not.toBe(small);
  await page.fill('.object .name', '');
  await page.locator('.object .name').pressSequentially('zebra bench');
  await page.keyboard.press('Enter');
  expect(await page.inputValue('.object .name')).toBe('zebra bench');
  await expectObjects(page, 1);
});

test('everything comes as one step, can be stopped, and the panel says how long it took and on what', async () => {
  const { page } = await site.open('isolated', '?threads=2');
  await choosePicture(page);
  await page.selectOption('#grid', '32');
  await page.click('#everything');
  await page.click('#busy-cancel');
  await page.waitForSelector('#busy', { state: 'hidden' });
  await expectObjects(page, 0);
  await page.selectOption('#grid', '8');
  // These weights are random: the model is sure of nothing, and its masks cover the picture, so few are apart.
  await page.check('#unsure');
  await page.click('#everything');
  await page.waitForFunction(() => / found/.test(document.querySelector('#toast')!.textContent));
  await expect.poll(() => objectCount(page), PATIENCE).toBeGreaterThan(0);
  await screenshot(page, 'everything');
  await page.click('#undo');
  await expectObjects(page, 0);
  const facts = await page.locator('#timing').innerText();
  for (const text of [/WebAssembly, 2 threads/, /Isolated page\s+yes/, /No WebGPU/, /Download\s/, /Read picture/]) {
    expect(facts).toMatch(text);
  }
});

test('a model that answers to boxes leads to boxes', async () => {
  site.faults.set('bundle.json', answersTo('box'));
  const { page } = await site.open('plain');
  await choosePicture(page);
  expect(await page.innerText('#hint')).toBe('Drag a box around an object');
  await page.click('#tool-point', { force: true });
  expect(await page.getAttribute('#tool-box', 'aria-pressed')).toBe('true');
  expect(await page.innerText('#toast')).toMatch(/answers to boxes/);
  await page.mouse.click(...(await place(page, 0.2, 0.2)));
  await expectObjects(page, 0);
  await page.mouse.click(...(await place(page, 0.8, 0.85)));
  await expectObjects(page, 1);
});

test('dropped and pasted pictures, light and dark, pass the rules of accessibility', async () => {
  const { page } = await site.open('plain');
  for (const type of ['drop', 'paste'] as const) {
    await page.evaluate(async (type) => {
      const blob = await (await fetch('./samples/coins.jpg')).blob();
      const transfer = new DataTransfer();
      transfer.items.add(new File([blob], `${type}.jpg`, { type: blob.type }));
      const init = { bubbles: true, cancelable: true };
      const event =
        type === 'drop'
          ? new DragEvent('drop', { ...init, dataTransfer: transfer })
          : new ClipboardEvent('paste', { ...init, clipboardData: transfer });
      document.dispatchEvent(event);
    }, type);
    await page.waitForSelector(`#area[data-ready=true][aria-label^="${type}.jpg"]`);
  }
  await drag(page, [0.2, 0.2], [0.8, 0.85]);
  await expectObjects(page, 1);
  for (const colorScheme of ['light', 'dark'] as const) {
    await page.emulateMedia({ colorScheme });
    await expectAccessible(page);
  }
  await page.click('#help');
  await expectAccessible(page);
});
