import { describe, expect, test } from 'vitest';
import type { MaskRule } from '../../src/contract.js';
import { decoderFeeds, type Prompt, pointFeeds } from '../../src/prompts.js';
import { type AskedPrompt, golden, lowRes, type PromptGolden } from '../goldens.js';

const prompts = golden<PromptGolden>('prompts.json');
const RULE = prompts.cases[0]!.mask_rule;

function asked({ mask, ...rest }: AskedPrompt, rule: MaskRule): Prompt {
  return { ...rest, mask: mask ? lowRes(rule.mask_hw) : undefined };
}

function feedsOf(prompt: Prompt, rule = RULE) {
  return decoderFeeds(prompt, prompts.original_hw, prompts.preprocessing, rule);
}

test.each(prompts.cases)('$name is fed as in Python', (made) => {
  const { tensors, pointCount } = feedsOf(asked(made.prompt, made.mask_rule), made.mask_rule);
  expect([...tensors['point_coords']!]).toEqual(made.point_coords.flat(2));
  expect([...tensors['point_labels']!]).toEqual(made.point_labels.flat());
  expect(tensors['has_mask_input'] ? [...tensors['has_mask_input']] : null).toEqual(made.has_mask_input);
  expect(tensors['mask_input']?.reduce((sum, value) => sum + value, 0) ?? null).toSatisfy((sum: number | null) =>
    sum === null ? made.mask_input_sum === null : Math.abs(sum - made.mask_input_sum!) < 1e-6,
  );
  expect(pointCount).toBe(made.point_labels[0]!.length);
});

describe('refused', () => {
  test.each(prompts.refused)('$name', ({ prompt, mask_rule }) => {
    expect(() => feedsOf(asked(prompt, mask_rule), mask_rule)).toThrow(
      expect.objectContaining({ code: 'REQUEST_INVALID' }),
    );
  });

  test.each([
    ['NaN', { points: [[Number.NaN, 2]], labels: [1] }],
    ['a box of infinity', { box: [0, 0, Number.POSITIVE_INFINITY, 5] }],
    ['a text', { points: ['12'] as unknown as [number, number][], labels: [1] }],
    ['a mask of another size', { box: [1, 1, 9, 9], mask: new Float32Array(3) }],
    ['a mask with NaN', { box: [1, 1, 9, 9], mask: lowRes(RULE.mask_hw).fill(Number.NaN, 0, 1) }],
  ] as [string, Prompt][])('%s', (_, prompt) => {
    expect(() => feedsOf(prompt)).toThrow(expect.objectContaining({ code: 'REQUEST_INVALID' }));
  });
});

test('a batch of points is fed as the points alone are', () => {
  const points = [
    [12.5, 30.25],
    [99, 1],
  ] as const;
  for (const rule of [RULE, { ...RULE, point_slots: 5, takes_mask: false }]) {
    const batch = pointFeeds(points, prompts.original_hw, prompts.preprocessing, rule);
    const alone = points.map((point) => feedsOf({ points: [point], labels: [1] }, rule));
    for (const [name, tensor] of Object.entries(batch.tensors)) {
      expect([...tensor]).toEqual(alone.flatMap((feeds) => [...feeds.tensors[name]!]));
    }
    expect(Object.keys(batch.tensors)).toEqual(Object.keys(alone[0]!.tensors));
  }
});
