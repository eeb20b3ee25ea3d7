import { expect, test } from 'vitest';
import { prepareImage, toPromptFrame } from '../../src/preprocess.js';
import { sha256Hex } from '../../src/sha256.js';
import { golden, type PreparedCase, picture } from '../goldens.js';

const { cases } = golden<{ cases: PreparedCase[] }>('preprocess.json');

test.each(cases)('$name is prepared as in Python, to the last bit', async (made) => {
  const prepared = prepareImage(picture(made.original_hw), made.preprocessing);
  expect(prepared.resizedHw).toEqual(made.resized_hw);
  expect([...prepared.tensor.subarray(0, 8)]).toEqual(made.first_row);
  expect(await sha256Hex(prepared.tensor.buffer as ArrayBuffer)).toBe(made.tensor_sha256);
});

test.each(cases)('points of $name', ({ points_in_picture, points_in_frame, original_hw, preprocessing }) => {
  expect([...toPromptFrame(points_in_picture.flat(), original_hw, preprocessing)]).toEqual(points_in_frame.flat());
});

test('padding with a mean needs a mean', () => {
  const { preprocessing } = cases[0]!;
  expect(() => prepareImage(picture([2, 3]), { ...preprocessing, padding: 'mean' })).toThrow(/needs a mean colour/);
});
