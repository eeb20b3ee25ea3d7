import { expect, test } from 'vitest';
import { readCases, rleIou } from './cases.js';
import type { PackageWindow } from './browsers.js';
import { ENCODER, packageSite } from './package_site.js';

const [made] = readCases();
const BUNDLE = made!.bundle;
const site = packageSite();

test('previews: the newest wins, and at most one waits', async () => {
  const page = await site.open('plain');
  const answers = await page.evaluate(
    async ({ bundle, picture }) => {
      const { Sam } = globalThis as unknown as PackageWindow;
      const sam = await Sam.load(`./bundles/${bundle}`);
      const image = await sam.encode(await (await fetch(`./bundles/${picture}`)).blob());
      const previews = Array.from({ length: 20 }, (_, x) => image.preview({ points: [[x * 4, 20]], labels: [1] }));
      const found = await Promise.all(previews);
      const exact = await image.predict({ points: [[76, 20]], labels: [1] }, { multimask: false });
      const same = found.at(-1)?.best.toRLE().counts === exact.best.toRLE().counts;
      return { answered: found.map((one) => one !== null), same };
    },
    { bundle: BUNDLE, picture: made!.picture },
  );
  expect(answers.answered.filter(Boolean)).toHaveLength(2);
  expect([answers.answered[0], answers.answered[19], answers.same]).toEqual([true, true, true]);
});

test('calls are aborted, refused and ended with their codes', async () => {
  const page = await site.open('plain');
  const codes = await page.evaluate(
    async ({ bundle, picture }) => {
      const { Sam } = globalThis as unknown as PackageWindow;
      const code = (call: Promise<unknown>) =>
        call.then(
          () => 'fine',
          (thrown: unknown) => (thrown as { code: string }).code,
        );
      const sam = await Sam.load(`./bundles/${bundle}`);
      const blob = await (await fetch(`./bundles/${picture}`)).blob();
      const image = await sam.encode(blob);
      const box = [1, 1, 50, 50] as const;
      const stop = () => {
        const controller = new AbortController();
        setTimeout(() => {
          controller.abort();
        }, 1);
        return { signal: controller.signal };
      };
      const found: Record<string, string> = {};
      found['aborted before'] = await code(image.predict({ box }, { signal: AbortSignal.abort() }));
      found['aborted while it waits'] = await code(
        Promise.all([image.predict({ box }), image.predict({ box }, stop())]),
      );
      found['aborted everything'] = await code(sam.everything(image, stop()));
      found['after that'] = await code(image.predict({ box }));
      found['outside'] = await code(image.predict({ box: [1, 1, 500, 50] }));
      found['no picture'] = await code(sam.encode(new Blob(['no picture'])));
      found['transparent'] = await code(sam.encode(new ImageData(4, 4)));
      found['not a .semb'] = await code(sam.loadEmbedding(new Uint8Array(100)));
      const other = await sam.encode(blob);
      other.dispose();
      found['disposed picture'] = await code(other.predict({ box }));
      const running = code(image.predict({ box }));
      sam.dispose();
      found['while it ends'] = await running;
      found['disposed sam'] = await code(sam.encode(blob));
      return found;
    },
    { bundle: BUNDLE, picture: made!.picture },
  );
  expect(codes).toEqual({
    'aborted before': 'ABORTED',
    'aborted while it waits': 'ABORTED',
    'aborted everything': 'ABORTED',
    'after that': 'fine',
    outside: 'REQUEST_INVALID',
    'no picture': 'IMAGE_INVALID',
    transparent: 'IMAGE_INVALID',
    'not a .semb': 'EMBEDDING_INVALID',
    'disposed picture': 'DISPOSED',
    'while it ends': 'DISPOSED',
    'disposed sam': 'DISPOSED',
  });
});

test("a server's embedding is answered on without the encoder", async () => {
  const page = await site.open('plain');
  const found = await page.evaluate(
    async ({ bundle, embedding, prompts }) => {
      const { Sam } = globalThis as unknown as PackageWindow;
      const sam = await Sam.load(`./bundles/${bundle}`, { encoder: false });
      const image = await sam.loadEmbedding(await fetch(`./bundles/${embedding}`));
      const rles = [];
      for (const { prompt, multimask } of prompts) {
        rles.push((await image.predict(prompt, { multimask })).masks.map((mask) => mask.toRLE()));
      }
      const refused = await sam
        .encode(new ImageData(4, 4))
        .catch((thrown: unknown) => (thrown as { code: string }).code);
      return { rles, refused, info: sam.info };
    },
    { bundle: BUNDLE, embedding: made!.embedding, prompts: made!.prompts },
  );
  made!.prompts.forEach(({ masks }, index) => {
    masks.forEach((mask, token) => {
      expect(rleIou(mask, found.rles[index]![token]!)).toBeGreaterThanOrEqual(made!.min_iou);
    });
  });
  expect(found.refused).toBe('IMAGE_INVALID');
  expect(found.info.selfTest).toBe('no encoder');
  expect(site.graphsAsked().some((path) => path.endsWith(ENCODER))).toBe(false);
});

test('the self-test can be run at any time, and says how alike every mask is', async () => {
  const page = await site.open('plain');
  const results = await page.evaluate(async (bundle) => {
    const { Sam } = globalThis as unknown as PackageWindow;
    return (await Sam.load(`./bundles/${bundle}`)).selfTest();
  }, BUNDLE);
  expect(results.length).toBeGreaterThan(0);
  for (const { iou } of results) expect(iou).toBeGreaterThanOrEqual(made!.min_iou);
});

test('the self-test has a signal of its own, and what was not downloaded once is asked for again', async () => {
  const page = await site.open('plain');
  const selfTest = (aborted: boolean) =>
    page.evaluate(
      async ({ bundle, aborted }) => {
        const { Sam } = globalThis as unknown as PackageWindow;
        const kept = globalThis as unknown as { sam?: InstanceType<typeof Sam> };
        if (!kept.sam) {
          const loads = new AbortController();
          (await Sam.load(`./bundles/${bundle}`)).dispose();
          // The next trusts the verdict, so that the files of the self-test come when it is asked for.
          const cache = await caches.open('sam-export');
          for (const request of await cache.keys()) if (!request.url.includes('/passed/')) await cache.delete(request);
          kept.sam = await Sam.load(`./bundles/${bundle}`, { signal: loads.signal });
          loads.abort();
        }
        const options = aborted ? { signal: AbortSignal.abort() } : {};
        return kept.sam.selfTest(options).then(
          (results) => results.length,
          (thrown: unknown) => (thrown as { code: string }).code,
        );
      },
      { bundle: BUNDLE, aborted },
    );
  expect(await selfTest(true)).toBe('ABORTED');
  site.faults.set('picture.png', (response) => response.writeHead(500).end('no'));
  expect(await selfTest(false)).toBe('DOWNLOAD_FAILED');
  site.faults.clear();
  expect(await selfTest(false)).toBeGreaterThan(0);
});

test('a mask is fed back, drawn, measured and outlined', async () => {
  const page = await site.open('plain');
  const found = await page.evaluate(
    async ({ bundle, picture }) => {
      const { Sam } = globalThis as unknown as PackageWindow;
      const sam = await Sam.load(`./bundles/${bundle}`);
      const image = await sam.encode(await (await fetch(`./bundles/${picture}`)).blob());
      const first = (await image.predict({ box: [20, 10, 80, 50] })).best;
      const second = (await image.predict({ box: [20, 10, 80, 50], mask: first.lowRes })).best;
      const pixels = first.toImageData([1, 2, 3, 255]);
      const inside = pixels.data.filter((value, index) => index % 4 === 3 && value === 255).length;
      const changed = second.lowRes.some((value, index) => value !== first.lowRes[index]);
      return {
        area: first.area,
        inside,
        changed,
        parts: first.toPolygon(1).length,
        size: [pixels.height, pixels.width],
      };
    },
    { bundle: BUNDLE, picture: made!.picture },
  );
  expect(found).toMatchObject({ inside: found.area, changed: true, size: made!.prompts[0]!.masks[0]!.size });
  expect(found.parts).toBeGreaterThan(0);
});

test('everything is what Python finds', async () => {
  const page = await site.open('plain');
  const { options, masks } = made!.everything!;
  const found = await page.evaluate(
    async ({ bundle, picture, options }) => {
      const { Sam } = globalThis as unknown as PackageWindow;
      const sam = await Sam.load(`./bundles/${bundle}`);
      const image = await sam.encode(await (await fetch(`./bundles/${picture}`)).blob());
      const steps: number[] = [];
      const objects = await sam.everything(image, { ...options, onProgress: (done) => steps.push(done) });
      return {
        steps,
        masks: objects.map((one) => ({
          rle: one.toRLE(),
          area: one.area,
          inside: one.toImageData([1, 2, 3, 255]).data.filter((value, index) => index % 4 === 3 && value === 255)
            .length,
          box: one.box,
          iou: one.iouPrediction,
          stability: one.stabilityScore,
        })),
      };
    },
    { bundle: BUNDLE, picture: made!.picture, options },
  );
  expect(found.masks).toHaveLength(masks.length);
  masks.forEach((mask, index) => {
    expect(rleIou(mask.rle, found.masks[index]!.rle)).toBeGreaterThanOrEqual(made!.min_iou);
    expect(found.masks[index]!.inside).toBe(found.masks[index]!.area);
    expect(Math.abs(mask.stability - found.masks[index]!.stability)).toBeLessThan(1e-2);
  });
  expect(found.steps.length).toBeGreaterThan(1);
});
