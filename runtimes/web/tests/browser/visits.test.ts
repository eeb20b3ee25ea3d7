import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { FOLDER, readCases } from './cases.js';
import { type PackageBrowser, type PackagePage, type PackageWindow, startBrowser } from './browsers.js';
import { loaded } from './loaded.js';
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
