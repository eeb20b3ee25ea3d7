import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { loaded } from './loaded.js';
import { ENCODER, packageSite } from './package_site.js';

const site = packageSite();

test.each([
  ['a changed byte', (bytes: Buffer) => bytes.fill(bytes[777]! ^ 1, 777, 778)],
  ['a file cut short', (bytes: Buffer) => bytes.subarray(0, 5000)],
  ['a file too long', (bytes: Buffer) => Buffer.concat([bytes, Buffer.alloc(100_000)])],
  ['a web page', () => Buffer.from('<!doctype html>')],
])('%s on the server is FILE_DAMAGED, after a second try', async (_, damage) => {
  const page = await site.open('plain');
  site.faults.set(ENCODER, (response, file) => response.end(damage(readFileSync(file))));
  expect(await loaded(page)).toMatchObject({
    code: 'FILE_DAMAGED',
    message: expect.stringContaining(ENCODER) as string,
  });
  expect(site.graphsAsked().filter((path) => path.endsWith(ENCODER))).toHaveLength(2);
});

test.each([
  ['a missing file', ENCODER, 404, 'DOWNLOAD_FAILED'],
  ['a missing bundle', 'bundle.json', 404, 'DOWNLOAD_FAILED'],
  ['a server error', 'bundle.json', 500, 'DOWNLOAD_FAILED'],
] as const)('%s', async (_, end, status, code) => {
  const page = await site.open('plain');
  site.faults.set(end, (response) => response.writeHead(status).end('no'));
  expect(await loaded(page)).toMatchObject({ code, message: expect.stringContaining(String(status)) as string });
});

test('a broken connection is DOWNLOAD_FAILED', async () => {
  const page = await site.open('plain');
  site.faults.set(ENCODER, (response) => {
    response.write('some bytes');
    setTimeout(() => response.destroy(), 50);
  });
  expect(await loaded(page)).toMatchObject({ code: 'DOWNLOAD_FAILED' });
});

test('a web page in place of a manifest is BUNDLE_INVALID', async () => {
  const page = await site.open('plain');
  site.faults.set('bundle.json', (response) => response.end('<!doctype html>'));
  expect(await loaded(page)).toMatchObject({ code: 'BUNDLE_INVALID' });
});

test('a device that gives other masks is not used', async () => {
  const page = await site.open('plain');
  site.faults.set('bundle.json', (response, file) => {
    const manifest = JSON.parse(readFileSync(file, 'utf8')) as { selftest: { cases: { box: number[] }[] } };
    manifest.selftest.cases[0]!.box = [1, 1, 9, 9];
    response.end(JSON.stringify(manifest));
  });
  expect(await loaded(page, { device: 'wasm' })).toMatchObject({ code: 'SELFTEST_FAILED' });
  expect(await loaded(page, { device: 'auto' })).toMatchObject({
    code: 'DEVICE_UNAVAILABLE',
    message: expect.stringMatching(/webgpu.*adapter.*wasm.*mask IoU/s) as string,
  });
});

test('an engine that cannot start says what to do', async () => {
  const page = await site.open('plain');
  const found = await loaded(page, { device: 'wasm', wasmPaths: './nowhere/' });
  expect(found).toMatchObject({ code: 'WASM_NOT_FOUND', message: expect.stringContaining('wasmPaths') as string });
});

test('threads need a page that is isolated', async () => {
  const page = await site.open('plain');
  expect(await loaded(page, { threads: 2 })).toMatchObject({ code: 'THREADS_NEED_ISOLATION' });
  expect(await loaded(page, { threads: 0 })).toMatchObject({ code: 'REQUEST_INVALID' });
});

test('WebGPU that was asked for and is not there is an error, not WebAssembly', async () => {
  const page = await site.open('plain');
  expect(await loaded(page, { device: 'webgpu' })).toMatchObject({ code: 'DEVICE_UNAVAILABLE' });
});
