import { createReadStream, readFileSync } from 'node:fs';
import type { Page } from 'playwright-core';
import { expect, test } from 'vitest';
import { demoSite } from './demo_site.js';
import { choosePicture, EMBEDDING, expectObjects, PICTURE, place } from './driver.js';

const ENCODER = 'image_encoder.onnx';
const site = demoSite();

/** Let the site be a server, which has no bundle but its own, and sends the embedding that Python made. */
function serve(seen: { accept?: string | undefined; body?: Buffer } = {}): void {
  site.faults.set('v1/bundle/bundle.json', (_, response, file) => createReadStream(file).pipe(response));
  site.faults.set('bundle/bundle.json', (_, response) => response.writeHead(404).end());
  site.faults.set('v1/embeddings', (request, response) => {
    const parts: Buffer[] = [];
    request.on('data', (part: Buffer) => parts.push(part));
    request.on('end', () => {
      seen.accept = request.headers.accept;
      seen.body = Buffer.concat(parts);
      response.end(readFileSync(EMBEDDING));
    });
  });
}

async function clicked(page: Page): Promise<void> {
  await page.mouse.click(...(await place(page, 0.3, 0.5)));
  await expectObjects(page, 1);
}

test('a server reads the picture, the browser answers, and a switch brings it all back', async () => {
  const seen: { accept?: string; body?: Buffer } = {};
  serve(seen);
  const { page } = await site.open('plain', '?server=./');
  await page.waitForSelector('#chip[data-state=ready]');
  expect(await page.innerText('#privacy')).toMatch(/Pictures are sent to 127\.0\.0\.1/);
  await choosePicture(page);
  expect(seen.accept).toBe('application/vnd.sam-export.semb; dtype=int8');
  expect(seen.body?.equals(readFileSync(PICTURE))).toBe(true);
  await clicked(page);
  expect(site.asked.some((path) => path.endsWith(ENCODER))).toBe(false);
  expect(await page.innerText('#timing')).toMatch(/Read on the server[\s\S]*Last click/);

  await page.getByLabel('In this browser').check({ force: true });
  await page.waitForSelector('#area[data-ready=false]');
  await page.waitForSelector('#area[data-ready=true]');
  expect(site.asked.some((path) => path.endsWith(ENCODER))).toBe(true);
  await expectObjects(page, 1);
  const facts = await page.innerText('#timing');
  expect(facts).toMatch(/Read picture/);
  expect(facts).not.toMatch(/Read on the server|Last click/);
});

test('a page that a server sent finds it', async () => {
  serve();
  const { page } = await site.open('plain');
  await page.waitForSelector('#chip[data-state=ready]');
  expect(await page.isChecked('input[value=server]')).toBe(true);
  await choosePicture(page);
  await clicked(page);
});

test('a busy server says when to come back, and the browser can do it', async () => {
  serve();
  site.faults.set('v1/embeddings', (_, response) => {
    response.writeHead(429, { 'Retry-After': '7', 'Content-Type': 'application/problem+json' });
    response.end(JSON.stringify({ code: 'overloaded', detail: '32 pictures wait' }));
  });
  const { page } = await site.open('plain', '?server=./');
  await page.setInputFiles('#file', PICTURE);
  const alert = page.getByRole('alert');
  await alert.getByText('The server is busy').waitFor();
  expect(await alert.innerText()).toContain('Try again in 7 seconds');
  await alert.getByRole('button', { name: 'Read it in the browser' }).click();
  await page.waitForSelector('#area[data-ready=true]');
  await clicked(page);
});
