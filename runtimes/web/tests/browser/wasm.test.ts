import { describe, expect, test } from 'vitest';
import { readCases, rleIou } from './cases.js';
import type { PackageWindow } from './browsers.js';
import { packageSite } from './package_site.js';

const site = packageSite();

describe.each(readCases())('$name', (made) => {
  test.each(made.settings)('$kind with $threads: the masks of Python', async ({ kind, threads }) => {
    const page = await site.open(kind);
    const given = { made, threads };
    const found = await page.evaluate(async ({ made, threads }) => {
      const { Sam } = globalThis as unknown as PackageWindow;
      const sam = await Sam.load(`./bundles/${made.bundle}`, { threads, variant: made.variant ?? undefined });
      const picture = await (await fetch(`./bundles/${made.picture}`)).blob();
      const image = await sam.encode(picture);
      const answers = [];
      for (const { prompt, multimask } of made.prompts) {
        const { masks, best } = await image.predict(prompt, { multimask });
        const ious = masks.map((mask) => mask.iouPrediction);
        answers.push({ rles: masks.map((mask) => mask.toRLE()), ious, best: best.iouPrediction });
      }
      sam.dispose();
      return { info: sam.info, answers, hw: [image.height, image.width] };
    }, given);
    expect(found.info).toMatchObject({
      device: 'wasm',
      variant: made.runs,
      threads,
      isolated: kind === 'isolated',
      selfTest: 'passed now',
    });
    made.prompts.forEach(({ masks, iou_predictions }, index) => {
      const answer = found.answers[index]!;
      expect(answer.rles).toHaveLength(masks.length);
      masks.forEach((mask, token) => {
        expect(rleIou(mask, answer.rles[token]!)).toBeGreaterThanOrEqual(made.min_iou);
        expect(Math.abs(answer.ious[token]! - iou_predictions[token]!)).toBeLessThan(1 - made.min_iou + 1e-3);
      });
      expect(answer.best).toBe(Math.max(...answer.ious));
    });
    expect(page.errors).toEqual([]);
  });
});
