import { expect, test } from 'vitest';
import { answeringTokens, bestOf, fedBack } from '../../src/mask_choice.js';
import { maskGeometry, maskRegion, upsample } from '../../src/postprocess.js';
import { encodeRle } from '../../src/rle.js';
import { type ChoiceGolden, edgeMasks, golden, lowRes, type UpsampledCase } from '../goldens.js';

const { cases } = golden<{ cases: UpsampledCase[] }>('postprocess.json');
const choice = golden<ChoiceGolden>('mask_choice.json');

test.each(cases)('$name: logits and mask are those of Python', ({ original_hw, preprocessing, mask_rule, ...made }) => {
  const logits = upsample(lowRes(mask_rule.mask_hw), maskGeometry(original_hw, preprocessing, mask_rule));
  made.spots.forEach(([y, x], index) => {
    expect(Math.abs(logits[y * original_hw[1] + x]! - made.logits[index]!)).toBeLessThan(1e-4);
  });
  const mask = Uint8Array.from(logits, (logit) => Number(logit > mask_rule.threshold));
  expect(encodeRle(mask, original_hw)).toEqual({ size: original_hw, counts: made.counts });
});

test('a region is that part of the whole', () => {
  const { original_hw, preprocessing, mask_rule } = cases.find((made) => made.original_hw[0] === 333)!;
  const geometry = maskGeometry(original_hw, preprocessing, mask_rule);
  const [whole, region] = [
    { left: 0, width: original_hw[1] },
    { top: 40, bottom: 90, left: 13, right: 150 },
  ];
  const logits = upsample(lowRes(mask_rule.mask_hw), geometry);
  const part = upsample(lowRes(mask_rule.mask_hw), geometry, region);
  expect(part.length).toBe(50 * 137);
  for (let y = 40; y < 90; y++) {
    const row = logits.subarray(y * whole.width + 13, y * whole.width + 150);
    expect(part.subarray((y - 40) * 137, (y - 39) * 137)).toEqual(row);
  }
});

test('nothing above a level lies outside of its region', () => {
  for (const { original_hw, preprocessing, mask_rule } of cases) {
    const geometry = maskGeometry(original_hw, preprocessing, mask_rule);
    const lowResMask = lowRes(mask_rule.mask_hw);
    const logits = upsample(lowResMask, geometry);
    const region = maskRegion(lowResMask, geometry, -1);
    const part = region ? upsample(lowResMask, geometry, region) : new Float32Array();
    const above = (values: Float32Array) => values.filter((value) => value > -1).length;
    expect(above(part)).toBe(above(logits));
    expect(maskRegion(lowResMask, geometry, 100)).toBeNull();
  }
});

test.each(choice.cases)('$name: the masks that answer', (made) => {
  const masks = edgeMasks(made.cells_at_the_edge, choice.mask_hw);
  const tokens = answeringTokens(masks, choice.iou_predictions, made.mask_rule, made.multimask_output);
  expect(tokens).toEqual(made.tokens);
  const cells = choice.mask_hw[0] * choice.mask_hw[1];
  const firsts = tokens.map((token) => fedBack(masks.subarray(token * cells), made.mask_rule)[0]);
  expect(firsts).toEqual(made.first_fed_back);
});

test('a predicted IoU that is no number never wins', () => {
  expect(bestOf([1, 2, 3], [0.9, Number.NaN, 0.1, -0.2])).toBe(2);
  expect(bestOf([3, 2, 1], [0, 0.5, 0.5, 0.1])).toBe(2);
});
