/** Which of the decoder's masks answer a prompt, as the bundle's mask rule says. */

import type { MaskRule, StabilityFallback } from './contract.js';

/** Return the token with the highest number; one that is NaN never wins over a number. */
export function bestOf(tokens: readonly number[], iouPredictions: ArrayLike<number>): number {
  return tokens.reduce((best, token) => (iouPredictions[token]! > rank(iouPredictions[best]!) ? token : best));
}

/**
 * Return the indices of the masks that answer one prompt.
 *
 * Shapes:
 *   lowRes          [M, h, w]  logits of all masks
 *   iouPredictions  [M]
 */
export function answeringTokens(
  lowRes: Float32Array,
  iouPredictions: ArrayLike<number>,
  rule: MaskRule,
  multimask: boolean,
): readonly number[] {
  if (multimask && rule.multimask_tokens.length > 0) return rule.multimask_tokens;
  const single = rule.single_mask_token;
  const fallback = rule.stability_fallback;
  if (fallback === null) return [single];
  const cells = rule.mask_hw[0] * rule.mask_hw[1];
  const stable = stability(lowRes.subarray(single * cells, (single + 1) * cells), fallback) >= fallback.threshold;
  return [stable ? single : bestOf(rule.multimask_tokens, iouPredictions)];
}

/** Return the part of the cells above -delta that are above delta, too, in float32; 1 for an empty mask. */
export function stability(logits: Float32Array, { delta }: StabilityFallback): number {
  let inner = 0;
  let outer = 0;
  for (const logit of logits) {
    if (logit > delta) inner++;
    if (logit > -delta) outer++;
  }
  return outer === 0 ? 1 : Math.fround(inner / outer);
}

/** Return low-res logits as a caller gets them, fit for `mask_input`. */
export function fedBack(lowRes: Float32Array, { low_res_limit: limit }: MaskRule): Float32Array {
  return limit === null ? lowRes : lowRes.map((logit) => Math.min(Math.max(logit, -limit), limit));
}

function rank(value: number): number {
  return Number.isNaN(value) ? Number.NEGATIVE_INFINITY : value;
}
