import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { launch } from '../browser/browsers.js';
import { choosePicture, expectObjects, open, place } from './driver.js';

const SERVER = process.env['SAM_DEMO_SERVER']!;
let browser: Browser;

beforeAll(async () => {
  browser = await launch('wasm');
});

afterAll(async () => {
  await browser.close();
});

test('the page that `sam-export serve` sends has its pictures read there, and in the browser after a switch', async () => {
  const { page, errors } = await open(browser, SERVER);
  const asked: string[] = [];
  page.on('request', (request) => asked.push(`${request.method()} ${new URL(request.url()).pathname}`));
  await page.waitForSelector('#chip[data-state=ready]');
  expect(await page.isChecked('input[value=server]')).toBe(true);
  await choosePicture(page);
  expect(asked).toContain('POST /v1/embeddings');
  expect(asked.some((path) => path.endsWith('image_encoder.onnx'))).toBe(false);
  await page.mouse.click(...(await place(page, 0.3, 0.5)));
  await expectObjects(page, 1);
  expect(await page.innerText('#timing')).toMatch(/Isolated page\s+yes/);

  await page.getByLabel('In this browser').check({ force: true });
  await page.waitForSelector('#area[data-ready=false]');
  await page.waitForSelector('#area[data-ready=true]');
  expect(asked.some((path) => path.endsWith('image_encoder.onnx'))).toBe(true);
  await page.click('#new-object');
  await page.mouse.click(...(await place(page, 0.7, 0.5)));
  await expectObjects(page, 2);
  expect(errors).toEqual([]);
});
