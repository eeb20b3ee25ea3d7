import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { FOLDER, readCases, rleIou } from './cases.js';
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

function graphsAsked(): string[] {
  return site.asked.filter((path) => path.endsWith('.onnx'));
}

test('previews: the newest wins, and at most one waits', async () => {
  const page = await plainPage();
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
  const page = await plainPage();
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
  const page = await plainPage();
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
  expect(graphsAsked().some((path) => path.endsWith(ENCODER))).toBe(false);
});

test('the self-test can be run at any time, and says how alike every mask is', async () => {
  const page = await plainPage();
  const results = await page.evaluate(async (bundle) => {
    const { Sam } = globalThis as unknown as PackageWindow;
    return (await Sam.load(`./bundles/${bundle}`)).selfTest();
  }, BUNDLE);
  expect(results.length).toBeGreaterThan(0);
  for (const { iou } of results) expect(iou).toBeGreaterThanOrEqual(made!.min_iou);
});

test('a mask is fed back, drawn, measured and outlined', async () => {
  const page = await plainPage();
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
  const page = await plainPage();
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
    expect(Math.abs(mask.stability - found.masks[index]!.stability)).toBeLessThan(1e-2);
  });
  expect(found.steps.length).toBeGreaterThan(1);
});
