import { describe, expect, test } from 'vitest';
import { readCases, rleIou } from './cases.js';
import type { PackageWindow } from './browsers.js';
import { packageSite } from './package_site.js';

/** Of what Python finds; masks near a threshold fall to either side of it. */
const LEAST_SHARE = 0.8;
const site = packageSite();

describe.each(readCases().filter(({ everything }) => everything))('$name', (made) => {
  test('everything finds what Python finds', async () => {
    const page = await site.open('isolated');
    const { options, masks } = made.everything!;
    const found = await page.evaluate(
      async ({ made, options }) => {
        const { Sam } = globalThis as unknown as PackageWindow;
        const sam = await Sam.load(`./bundles/${made.bundle}`, { threads: 2, variant: made.variant ?? undefined });
        const image = await sam.encode(await (await fetch(`./bundles/${made.picture}`)).blob());
        const objects = await sam.everything(image, options);
        sam.dispose();
        return objects.map((one) => one.toRLE());
      },
      { made, options },
    );
    expect(masks.length).toBeGreaterThan(0);
    const matched = masks.filter(({ rle }) => found.some((one) => rleIou(rle, one) >= made.min_iou));
    expect(matched.length).toBeGreaterThanOrEqual(LEAST_SHARE * masks.length);
  });
});
