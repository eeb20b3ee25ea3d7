import { expect, test } from 'vitest';
import { everythingSettings } from '../../src/everything_options.js';
import { pointGrid } from '../../src/everything.js';
import { keptBoxes } from '../../src/nms.js';

test('a box goes where a better one covers it', () => {
  const boxes = [
    [0, 0, 10, 10],
    [1, 0, 10, 10],
    [20, 20, 30, 30],
    [0, 0, 10, 9],
  ] as const;
  expect(keptBoxes(boxes, [0.5, 0.9, 0.1, 0.95], 0.7)).toEqual([3, 2]);
  expect(keptBoxes(boxes, [0.5, 0.9, 0.1, 0.95], 0.99)).toEqual([3, 1, 0, 2]);
});

test('boxes without area stay, and equal scores keep their order', () => {
  const point = [5, 5, 5, 5] as const;
  expect(keptBoxes([point, point], [0.5, 0.5], 0)).toEqual([0, 1]);
});

test('a grid lies at the centres of its cells, row by row', () => {
  expect(pointGrid(2, [40, 80])).toEqual([
    [20, 10],
    [60, 10],
    [20, 30],
    [60, 30],
  ]);
});

test.each([
  { pointsPerSide: 0 },
  { pointsPerSide: 1.5 },
  { pointsPerBatch: 0 },
  { predIouThreshold: 2 },
  { stabilityThreshold: Number.NaN },
  { boxNmsThreshold: -1 },
  { stabilityOffset: -1 },
])('%j is refused', (options) => {
  expect(() => everythingSettings(options)).toThrow(expect.objectContaining({ code: 'REQUEST_INVALID' }));
});

test('what is left out has upstream`s value', () => {
  const settings = everythingSettings({ pointsPerSide: 8, predIouThreshold: undefined as unknown as number });
  expect(settings).toMatchObject({ pointsPerSide: 8, predIouThreshold: 0.88, boxNmsThreshold: 0.7 });
});
