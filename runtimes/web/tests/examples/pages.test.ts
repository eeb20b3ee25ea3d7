/** Both pages of `examples/web`, built and served by `sam-export serve`: a box that is dragged gives Python's mask. */

import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Box } from '../../src/prompts.js';
import { decodeRle } from '../../src/rle.js';
import { launch } from '../browser/browsers.js';
import { CASE, open, PATIENCE, PICTURE } from '../demo/driver.js';

const SITE = process.env['SAM_EXAMPLE_SITE']!;
let browser: Browser;

beforeAll(async () => {
  browser = await launch('wasm');
});

afterAll(async () => {
  await browser.close();
});

test.each([
  { name: 'index.html', encodes: true, tolerance: 0.01 },
  { name: 'server.html', encodes: false, tolerance: 0.1 }, // an embedding of 8 bits a number
])('$name', async ({ name, encodes, tolerance }) => {
  const { page, errors } = await open(browser, `${SITE}/${name}`);
  const asked: string[] = [];
  page.on('request', (request) => asked.push(`${request.method()} ${new URL(request.url()).pathname}`));
  await page.waitForSelector('#file:not([disabled])');
  await page.setInputFiles('#file', PICTURE);
  await page.getByText('Drag a box').waitFor(PATIENCE);

  const { box, area } = expected();
  const stage = (await page.locator('#mask').boundingBox())!;
  const [width, height] = await page.evaluate(() => {
    const { width, height } = document.querySelector('canvas')!;
    return [width, height];
  });
  const at = (x: number, y: number) =>
    [stage.x + (x / width) * stage.width, stage.y + (y / height) * stage.height] as const;
  await page.mouse.move(...at(box[0], box[1]));
  await page.mouse.down();
  await page.mouse.move(...at(box[2], box[3]));
  await page.mouse.up();
  const said = page.getByText(/^\d+ pixels, predicted IoU/);
  await said.waitFor(PATIENCE);
  expect(Math.abs(parseInt(await said.innerText()) / area - 1)).toBeLessThan(tolerance);
  expect(asked.includes('POST /v1/embeddings')).toBe(!encodes);
  expect(errors).toEqual([]);
});

/** The first box of the case, and how many pixels the best of Python's masks has. */
function expected(): { box: Box; area: number } {
  const { prompt, masks, iou_predictions } = CASE.prompts.find((one) => one.prompt.box && one.multimask)!;
  const best = masks[iou_predictions.indexOf(Math.max(...iou_predictions))]!;
  return { box: prompt.box!, area: decodeRle(best).reduce((sum, value) => sum + value, 0) };
}
