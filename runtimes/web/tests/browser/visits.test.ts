import { expect, test } from 'vitest';
import { readCases } from './cases.js';
import type { PackageWindow } from './browsers.js';
import { loaded } from './loaded.js';
import { ENCODER, packageSite } from './package_site.js';

const [made] = readCases();
const BUNDLE = made!.bundle;
const site = packageSite();

test('a second visit downloads nothing but the manifest, and trusts the self-test', async () => {
  const page = await site.open('plain');
  expect(await loaded(page)).toMatchObject({ selfTest: 'passed now' });
  site.forget();
  expect(await loaded(page)).toMatchObject({ selfTest: 'passed earlier' });
  expect(site.asked).toEqual([`${BUNDLE}/bundle.json`]);
  expect(await loaded(page, { selfTest: 'always' })).toMatchObject({ selfTest: 'passed now' });
  expect(site.graphsAsked()).toEqual([]);
});

test('a damaged cache entry is fetched again', async () => {
  const page = await site.open('plain');
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
    site
      .graphsAsked()
      .map((path) => path.split('/').at(-1))
      .sort(),
  ).toEqual([ENCODER, 'mask_decoder.onnx']);
});

test('clearCache forgets files and verdicts', async () => {
  const page = await site.open('plain');
  await loaded(page);
  site.forget();
  await page.evaluate(() => (globalThis as unknown as PackageWindow).clearCache());
  expect(await loaded(page)).toMatchObject({ selfTest: 'passed now' });
  expect(site.graphsAsked()).toHaveLength(2);
});

test('after a device that fails comes the next, in a worker of its own, with the bytes that are there', async () => {
  const page = await site.open('plain');
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
  expect(site.graphsAsked()).toHaveLength(2);
});

test('progress goes up to the sum of all files', async () => {
  const page = await site.open('plain');
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
  // Both graphs are counted before a byte of either is there.
  expect(steps[1]).toEqual([0, steps.find(([loaded]) => loaded > 0)![1], false]);
  expect(steps.every(([, , cached]) => !cached)).toBe(true);
});

test('a load that is aborted ends at once, and its download too', async () => {
  const page = await site.open('plain');
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
