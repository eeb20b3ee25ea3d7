import { expect, test } from 'vitest';
import { readCases, rleIou } from './cases.js';
import type { PackageWindow } from './browsers.js';
import { packageSite } from './package_site.js';

const site = packageSite('webgpu');

test('WebGPU, here a software adapter, gives the masks of Python, and is not chosen by itself', async () => {
  const [made] = readCases();
  const page = await site.open('plain');
  const found = await page.evaluate(
    async ({ bundle, picture, prompts }) => {
      const { Sam } = globalThis as unknown as PackageWindow;
      const auto = await Sam.load(`./bundles/${bundle}`);
      auto.dispose();
      const sam = await Sam.load(`./bundles/${bundle}`, { device: 'webgpu' });
      const image = await sam.encode(await (await fetch(`./bundles/${picture}`)).blob());
      const rles = [];
      for (const { prompt, multimask } of prompts) {
        rles.push((await image.predict(prompt, { multimask })).masks.map((mask) => mask.toRLE()));
      }
      return { auto: auto.info, info: sam.info, rles };
    },
    { bundle: made!.bundle, picture: made!.picture, prompts: made!.prompts },
  );
  expect(found.info).toMatchObject({ device: 'webgpu', selfTest: 'passed now' });
  expect(found.auto).toMatchObject({ device: 'wasm', refusals: [{ device: 'webgpu' }] });
  made!.prompts.forEach(({ masks }, index) => {
    masks.forEach((mask, token) => {
      expect(rleIou(mask, found.rles[index]![token]!)).toBeGreaterThanOrEqual(made!.min_iou);
    });
  });
});
