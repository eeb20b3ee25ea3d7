import { readFileSync } from 'node:fs';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { FOLDER, readCases } from './cases.js';
import { type PackageBrowser, type PackagePage, type PackageWindow, startBrowser } from './browsers.js';
import { type Site, startSite } from './site.js';

const [made] = readCases();
const BUNDLE = made!.bundle;
const ENCODER = 'image_encoder.onnx';
let browser: PackageBrowser;
let site: Site;

beforeAll(async () => {
  [browser, site] = await Promise.all([startBrowser(), startSite(FOLDER)]);
});

afterEach(async () => {
  site.forget();
  await browser.closePages();
});

afterAll(async () => {
  await browser.close();
  await site.close();
});

function plainPage(): Promise<PackagePage> {
  return browser.open(site.page('plain'));
}

/** Load the bundle in the page and return what it says, or the code and text of its error. */
function loaded(page: PackagePage, options: Record<string, unknown> = {}, bundle = BUNDLE) {
  return page.evaluate(
    async ({ bundle, options }) => {
      const { Sam, SamError } = globalThis as unknown as PackageWindow;
      try {
        const sam = await Sam.load(`./bundles/${bundle}`, options);
        sam.dispose();
        return { selfTest: sam.info.selfTest, refusals: sam.info.refusals };
      } catch (thrown) {
        return thrown instanceof SamError
          ? { code: thrown.code, message: thrown.message }
          : { message: String(thrown) };
      }
    },
    { bundle, options },
  );
}

function graphsAsked(): string[] {
  return site.asked.filter((path) => path.endsWith('.onnx'));
}

test('a second visit downloads nothing but the manifest, and trusts the self-test', async () => {
  const page = await plainPage();
  expect(await loaded(page)).toMatchObject({ selfTest: 'passed now' });
  site.forget();
  expect(await loaded(page)).toMatchObject({ selfTest: 'passed earlier' });
  expect(site.asked).toEqual([`${BUNDLE}/bundle.json`]);
  expect(await loaded(page, { selfTest: 'always' })).toMatchObject({ selfTest: 'passed now' });
  expect(graphsAsked()).toEqual([]);
});

test('a damaged cache entry is fetched again', async () => {
  const page = await plainPage();
  await loaded(page);
  site.forget();
  await page.evaluate(async () => {
    const cache = await caches.open('sam-export');
    for (const request of await cache.keys()) {
      const bytes = new Uint8Array(await (await cache.match(request))!.arrayBuffer());
      if (bytes.length < 10_000) continue;
      bytes[5000]! ^= 1;
      await cache.put(request, new Response(bytes));
    }
  });
  expect(await loaded(page)).toMatchObject({ selfTest: 'passed earlier' });
  expect(
    graphsAsked()
      .map((path) => path.split('/').at(-1))
      .sort(),
  ).toEqual([ENCODER, 'mask_decoder.onnx']);
});

test('clearCache forgets files and verdicts', async () => {
  const page = await plainPage();
  await loaded(page);
  site.forget();
  await page.evaluate(() => (globalThis as unknown as PackageWindow).clearCache());
  expect(await loaded(page)).toMatchObject({ selfTest: 'passed now' });
  expect(graphsAsked()).toHaveLength(2);
});

test.each([
  ['a changed byte', (bytes: Buffer) => bytes.fill(bytes[777]! ^ 1, 777, 778)],
  ['a file cut short', (bytes: Buffer) => bytes.subarray(0, 5000)],
  ['a file too long', (bytes: Buffer) => Buffer.concat([bytes, Buffer.alloc(100_000)])],
  ['a web page', () => Buffer.from('<!doctype html>')],
])('%s on the server is FILE_DAMAGED, after a second try', async (_, damage) => {
  const page = await plainPage();
  site.faults.set(ENCODER, (response, file) => response.end(damage(readFileSync(file))));
  expect(await loaded(page)).toMatchObject({
    code: 'FILE_DAMAGED',
    message: expect.stringContaining(ENCODER) as string,
  });
  expect(graphsAsked().filter((path) => path.endsWith(ENCODER))).toHaveLength(2);
});

test.each([
  ['a missing file', ENCODER, 404, 'DOWNLOAD_FAILED'],
  ['a missing bundle', 'bundle.json', 404, 'DOWNLOAD_FAILED'],
  ['a server error', 'bundle.json', 500, 'DOWNLOAD_FAILED'],
] as const)('%s', async (_, end, status, code) => {
  const page = await plainPage();
  site.faults.set(end, (response) => response.writeHead(status).end('no'));
  expect(await loaded(page)).toMatchObject({ code, message: expect.stringContaining(String(status)) as string });
});

test('a broken connection is DOWNLOAD_FAILED', async () => {
  const page = await plainPage();
  site.faults.set(ENCODER, (response) => {
    response.write('some bytes');
    setTimeout(() => response.destroy(), 50);
  });
  expect(await loaded(page)).toMatchObject({ code: 'DOWNLOAD_FAILED' });
});

test('a web page in place of a manifest is BUNDLE_INVALID', async () => {
  const page = await plainPage();
  site.faults.set('bundle.json', (response) => response.end('<!doctype html>'));
  expect(await loaded(page)).toMatchObject({ code: 'BUNDLE_INVALID' });
});

test('a device that gives other masks is not used', async () => {
  const page = await plainPage();
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

test('after a device that fails comes the next, in a worker of its own, with the bytes that are there', async () => {
  const page = await plainPage();
  const found = await page.evaluate(async (bundle) => {
    const { Sam } = globalThis as unknown as PackageWindow;
    const adapter = { info: { description: 'A card that workers do not have' }, features: new Set() };
    Object.defineProperty(navigator, 'gpu', { value: { requestAdapter: () => Promise.resolve(adapter) } });
    const workers: string[] = [];
    const worker = (device: string) => {
      workers.push(device);
      return new Worker(`./${device}-worker.js`, { type: 'module' });
    };
    const sam = await Sam.load(`./bundles/${bundle}`, { worker, cache: false });
    sam.dispose();
    return { workers, device: sam.info.device, refusals: sam.info.refusals.map(({ device }) => device) };
  }, BUNDLE);
  expect(found).toEqual({ workers: ['webgpu', 'wasm'], device: 'wasm', refusals: ['webgpu'] });
  expect(graphsAsked()).toHaveLength(2);
});

test('an engine that cannot start says what to do', async () => {
  const page = await plainPage();
  const found = await loaded(page, { device: 'wasm', wasmPaths: './nowhere/' });
  expect(found).toMatchObject({ code: 'WASM_NOT_FOUND', message: expect.stringContaining('wasmPaths') as string });
});

test('threads need a page that is isolated', async () => {
  const page = await plainPage();
  expect(await loaded(page, { threads: 2 })).toMatchObject({ code: 'THREADS_NEED_ISOLATION' });
  expect(await loaded(page, { threads: 0 })).toMatchObject({ code: 'REQUEST_INVALID' });
});

test('WebGPU that was asked for and is not there is an error, not WebAssembly', async () => {
  const page = await plainPage();
  expect(await loaded(page, { device: 'webgpu' })).toMatchObject({ code: 'DEVICE_UNAVAILABLE' });
});

test('progress goes up to the sum of all files', async () => {
  const page = await plainPage();
  const steps = await page.evaluate(async (bundle) => {
    const { Sam } = globalThis as unknown as PackageWindow;
    const steps: [number, number, boolean][] = [];
    const onProgress = ({
      loadedBytes,
      totalBytes,
      cached,
    }: {
      loadedBytes: number;
      totalBytes: number;
      cached: boolean;
    }) => steps.push([loadedBytes, totalBytes, cached]);
    (await Sam.load(`./bundles/${bundle}`, { onProgress })).dispose();
    return steps;
  }, BUNDLE);
  expect(steps.every(([loaded, total], index) => loaded <= total && loaded >= (steps[index - 1]?.[0] ?? 0))).toBe(true);
  expect(steps.at(-1)![0]).toBe(steps.at(-1)![1]);
  expect(steps.every(([, , cached]) => !cached)).toBe(true);
});

test('a load that is aborted ends at once, and its download too', async () => {
  const page = await plainPage();
  let closed = false;
  site.faults.set(ENCODER, (response) => {
    response.write('some bytes');
    response.on('close', () => {
      closed = true;
    });
  });
  const code = await page.evaluate(async (bundle) => {
    const { Sam } = globalThis as unknown as PackageWindow;
    const controller = new AbortController();
    setTimeout(() => {
      controller.abort();
    }, 300);
    return Sam.load(`./bundles/${bundle}`, { signal: controller.signal })
      .catch((thrown: unknown) => thrown as { code: string; name: string })
      .then((thrown) => ['code' in thrown && thrown.code, 'name' in thrown && thrown.name]);
  }, BUNDLE);
  expect(code).toEqual(['ABORTED', 'AbortError']);
  await expect.poll(() => closed).toBe(true);
});
