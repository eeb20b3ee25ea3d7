import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { SamError } from 'sam-export-web';
import { expect, test } from 'vitest';
import { answerOfMask, coverage } from '../../demo/src/answers.js';
import { cocoDocument } from '../../demo/src/coco.js';
import { median, megabytes, milliseconds, percent } from '../../demo/src/format.js';
import { discover, readOptions } from '../../demo/src/page_options.js';
import { colourOf } from '../../demo/src/palette.js';
import { refusedDevices } from '../../demo/src/timing_panel.js';
import { boxBetween, fit, isInside, oppositeCorner, toPicture, toStage } from '../../demo/src/view.js';
import { isAborted, PageError, wordsFor } from '../../demo/src/words.js';
import { Mask } from '../../src/mask.js';
import { decodeRle } from '../../src/rle.js';

// 5 wide, 4 high; a block of 2 x 3 from 1,1 on.
const BITS = [0, 0, 0, 0, 0, 0, 1, 1, 0, 0, 0, 1, 1, 0, 0, 0, 1, 1, 0, 0];
const ANSWER = answerOfMask(new Mask(Uint8Array.from(BITS), 5, 4, 0.9, new Float32Array(1)));

test('an answer knows where its mask is', () => {
  expect(ANSWER).toMatchObject({ area: 6, box: [1, 1, 2, 3], iouPrediction: 0.9 });
  expect(coverage(ANSWER)).toBeCloseTo(0.3);
  expect(answerOfMask(new Mask(new Uint8Array(20), 5, 4, 0, new Float32Array(1))).area).toBe(0);
});

test('COCO has the masks as run lengths, and boxes with all of the mask inside', () => {
  const objects = [{ name: 'cup', answer: ANSWER, points: [[1.5, 2]] as const }];
  const { images, annotations, categories } = cocoDocument({ name: 'a.jpg', width: 5, height: 4 }, objects);
  expect(images).toEqual([{ id: 1, file_name: 'a.jpg', width: 5, height: 4 }]);
  expect(categories).toEqual([{ id: 1, name: 'object' }]);
  expect(annotations).toHaveLength(1);
  expect(annotations[0]).toMatchObject({ id: 1, image_id: 1, category_id: 1, bbox: [1, 1, 2, 3], area: 6, iscrowd: 0 });
  expect([...decodeRle(annotations[0]!.segmentation)]).toEqual(BITS);
});

test('the view shows all of a picture in the middle, and its places come back', () => {
  const view = fit({ width: 200, height: 100 }, { width: 400, height: 400 });
  expect(view).toMatchObject({ scale: 2, left: 0, top: 100 });
  expect(toPicture(view, ...toStage(view, [17, 23]))).toEqual([17, 23]);
  expect(toPicture(view, -50, 1000)).toEqual([0, 100]);
  expect([isInside(view, 10, 150), isInside(view, 10, 50)]).toEqual([true, false]);
  expect(fit({ width: 10, height: 10 }, { width: 400, height: 400 }).scale).toBe(4);
});

test('two corners make a box in any order, unless it is empty', () => {
  expect(boxBetween([9, 2], [1, 8])).toEqual([1, 2, 9, 8]);
  expect(boxBetween([9, 2], [9.5, 8])).toBeNull();
});

test.each([
  [
    [1, 2],
    [9, 8],
  ],
  [
    [9, 2],
    [1, 8],
  ],
  [
    [1, 8],
    [9, 2],
  ],
  [
    [9, 8],
    [1, 2],
  ],
] as const)('the corner %j has its opposite', (corner, opposite) => {
  expect(oppositeCorner([1, 2, 9, 8], corner, 1)).toEqual(opposite);
  expect(oppositeCorner([1, 2, 9, 8], [5, 5], 1)).toBeNull();
});

test('numbers read well', () => {
  expect([megabytes(11_700_000), megabytes(250_000_000)]).toEqual(['11.7', '250']);
  expect([milliseconds(41.6), milliseconds(2340), milliseconds(31_900)]).toEqual(['42 ms', '2.34 s', '31.9 s']);
  expect([percent(0.024), percent(0.174)]).toEqual(['2.4 %', '17 %']);
  expect([median([3, 1, 2]), median([4, 1, 2, 3])]).toEqual([2, 2.5]);
});

test('every object has a colour of its own', () => {
  const colours = Array.from({ length: 120 }, (_, index) => colourOf(index + 1));
  expect(new Set(colours.map(String)).size).toBe(120);
  expect(colours.flat().every((value) => Number.isInteger(value) && value >= 0 && value <= 255)).toBe(true);
});

test.each([
  ['', 'https://a.org/d/bundle/', null, 'browser'],
  ['?bundle=/m/x', 'https://a.org/m/x/', null, 'browser'],
  ['?server=https://s.org', 'https://s.org/v1/bundle/', 'https://s.org/', 'server'],
  ['?server=https://s.org/api&bundle=./y/', 'https://a.org/d/y/', 'https://s.org/api/', 'server'],
  ['?server=https://s.org&encode=browser', 'https://s.org/v1/bundle/', 'https://s.org/', 'browser'],
])('the address %j', (query, bundle, server, where) => {
  const options = readOptions(new URL(`https://a.org/d/${query}`));
  expect([options.bundle.href, options.server?.href ?? null, options.where]).toEqual([bundle, server, where]);
});

test('devices and threads that are none are left out', () => {
  const read = (query: string) => readOptions(new URL(`https://a.org/${query}`));
  expect(read('?device=wasm&threads=2&variant=int8')).toMatchObject({ device: 'wasm', threads: 2, variant: 'int8' });
  expect(read('?device=abacus&threads=many')).toMatchObject({ device: 'auto', threads: undefined });
});

test('errors have words, a code and their own text', () => {
  expect(wordsFor(new SamError('FILE_DAMAGED', 'x.onnx: its sha256'))).toMatchObject({
    title: 'A model file is damaged',
    code: 'FILE_DAMAGED',
    detail: 'x.onnx: its sha256',
  });
  expect(wordsFor(new PageError('Title', 'Advice', 'why'))).toEqual({
    title: 'Title',
    advice: 'Advice',
    code: 'PAGE',
    detail: 'why',
  });
  expect(wordsFor('thrown text')).toMatchObject({ title: 'Something went wrong', detail: 'thrown text' });
  expect([isAborted(new SamError('ABORTED', '')), isAborted(new SamError('CONTRACT', ''))]).toEqual([true, false]);
});

test('a server that never answers does not keep the page from its own bundle', async () => {
  const server = createServer(() => undefined);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const page = new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
  expect(await discover(page, 1)).toEqual(readOptions(page));
  server.closeAllConnections();
  server.close();
});

test('a device that is not used has one line, whatever the number of variants', () => {
  const refusal = (device: 'wasm' | 'webgpu', variant: string, reason: string) => ({ device, variant, reason });
  const alike = [refusal('webgpu', 'fp16', 'no adapter'), refusal('webgpu', 'fp32', 'no adapter')];
  expect(refusedDevices(alike, 'wasm')).toEqual([['No WebGPU', 'no adapter']]);
  const unlike = [refusal('webgpu', 'fp16', 'no fp16'), refusal('webgpu', 'fp32', 'other masks')];
  expect(refusedDevices(unlike, 'wasm')).toEqual([['No WebGPU', 'fp16: no fp16; fp32: other masks']]);
  expect(refusedDevices([...unlike, refusal('wasm', 'int8', 'not asked for')], 'webgpu')).toEqual([
    ['No WebAssembly', 'not asked for'],
  ]);
});
