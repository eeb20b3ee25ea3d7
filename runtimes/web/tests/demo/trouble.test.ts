import { readFileSync } from 'node:fs';
import type { Browser } from 'playwright-core';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { launch } from '../browser/browsers.js';
import { BUNDLE, choosePicture, expectAccessible, open, PICTURE, screenshot } from './driver.js';
import { type DemoSite, startDemo } from './site.js';

const ENCODER = 'image_encoder.onnx';
let browser: Browser;
let site: DemoSite;

beforeAll(async () => {
  [browser, site] = await Promise.all([launch('wasm'), startDemo(BUNDLE)]);
});

afterEach(async () => {
  site.faults.clear();
  await Promise.all(browser.contexts().map((context) => context.close()));
});

afterAll(async () => {
  await browser.close();
  await site.close();
});

test('a missing bundle is told in words, and trying again helps once it is there', async () => {
  site.faults.set('bundle.json', (_, response) => response.writeHead(404).end());
  const { page, errors } = await open(browser, site.page('plain'));
  const alert = page.getByRole('alert');
  await alert.getByText('The model could not be downloaded').waitFor();
  expect(await alert.innerText()).toContain('DOWNLOAD_FAILED');
  await expectAccessible(page);
  await screenshot(page, 'error');
  site.faults.clear();
  await alert.getByRole('button', { name: 'Try again' }).click();
  await page.waitForSelector('#chip[data-state=ready]');
  await choosePicture(page);
  expect(errors).toEqual([]);
});

test('a damaged file is not used, and can be fetched again', async () => {
  site.faults.set(ENCODER, (_, response, file) => {
    const bytes = readFileSync(file);
    response.end(bytes.fill(bytes[777]! ^ 1, 777, 778));
  });
  const { page } = await open(browser, site.page('plain'));
  await page.setInputFiles('#file', PICTURE);
  const alert = page.getByRole('alert');
  await alert.getByText('A model file is damaged').waitFor();
  await screenshot(page, 'damaged');
  site.faults.clear();
  await alert.getByRole('button', { name: 'Fetch all files again' }).click();
  await page.waitForSelector('#area[data-ready=true]');
});

test('while the model is downloaded, the megabytes are told', async () => {
  let finish: (() => void) | undefined;
  site.faults.set(ENCODER, (_, response, file) => {
    const bytes = readFileSync(file);
    response.write(bytes.subarray(0, bytes.length >> 1));
    finish = () => response.end(bytes.subarray(bytes.length >> 1));
  });
  const { page } = await open(browser, site.page('plain'));
  await page.setInputFiles('#file', PICTURE);
  await page.getByText('Downloading the model').first().waitFor();
  await page.waitForFunction(() => /[\d.]+ of [\d.]+ MB/.test(document.querySelector('#busy-text')!.textContent));
  await expectAccessible(page);
  await screenshot(page, 'loading');
  finish!();
  await page.waitForSelector('#area[data-ready=true]');
});

test('no picture, and one that is transparent', async () => {
  const { page } = await open(browser, site.page('plain'));
  await page.waitForSelector('#chip[data-state=ready]');
  await page.setInputFiles('#file', { name: 'a.txt', mimeType: 'text/plain', buffer: Buffer.from('no picture') });
  const alert = page.getByRole('alert');
  await alert.getByText('This is not a picture that the browser reads').waitFor();
  await alert.getByRole('button', { name: 'Close' }).click();
  await alert.waitFor({ state: 'hidden' });
  const clear = await page.evaluate(async () => {
    const canvas = new OffscreenCanvas(40, 30);
    canvas.getContext('2d')!.fillRect(5, 5, 10, 10);
    return [...new Uint8Array(await (await canvas.convertToBlob()).arrayBuffer())];
  });
  await page.setInputFiles('#file', { name: 'clear.png', mimeType: 'image/png', buffer: Buffer.from(clear) });
  await page.waitForSelector('#area[data-ready=true]');
  expect(await page.innerText('#toast')).toBe('Transparent parts are shown on white');
});
