import { readFileSync } from 'node:fs';
import type { ServerResponse } from 'node:http';
import { expect, test } from 'vitest';
import { demoSite } from './demo_site.js';
import { choosePicture, expectAccessible, PICTURE, screenshot } from './driver.js';

const ENCODER = 'image_encoder.onnx';
const site = demoSite();

test('a missing bundle is told in words, and trying again helps once it is there', async () => {
  site.faults.set('bundle.json', (_, response) => response.writeHead(404).end());
  const { page, errors } = await site.open('plain');
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
  const { page } = await site.open('plain');
  await page.setInputFiles('#file', PICTURE);
  const alert = page.getByRole('alert');
  await alert.getByText('A model file is damaged').waitFor();
  await screenshot(page, 'damaged');
  site.faults.clear();
  await alert.getByRole('button', { name: 'Fetch all files again' }).click();
  await page.waitForSelector('#area[data-ready=true]');
});

test('while the model is downloaded, the megabytes are told, from none on, under one title', async () => {
  const held: [ServerResponse, Buffer][] = [];
  site.faults.set('.onnx', (_, response, file) => held.push([response, readFileSync(file)]));
  const { page } = await site.open('plain');
  const said = await page.evaluateHandle(() => {
    const [live, said] = [document.querySelector('#live')!, [] as string[]];
    new MutationObserver(() => said.push(live.textContent)).observe(live, { childList: true });
    return said;
  });
  await page.setInputFiles('#file', PICTURE);
  await page.waitForFunction(() => /^0\.0 of [\d.]+ MB/.test(document.querySelector('#busy-text')!.textContent));
  expect(await page.getAttribute('#busy-bar', 'aria-valuenow')).toBe('0');
  await expect.poll(() => held.length).toBe(2);
  for (const [response, bytes] of held) response.write(bytes.subarray(0, bytes.length >> 1));
  await page.waitForSelector('#busy-bar:not([aria-valuenow="0"])');
  await expectAccessible(page);
  await screenshot(page, 'loading');
  for (const [response, bytes] of held) response.end(bytes.subarray(bytes.length >> 1));
  await page.waitForSelector('#area[data-ready=true]');
  expect((await said.jsonValue()).filter((text) => /model/.test(text))).toEqual(['Getting the model']);
});

test('no picture, and one that is transparent', async () => {
  const { page } = await site.open('plain');
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
