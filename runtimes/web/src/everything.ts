/**
 * Segmenting everything: a grid of points through the decoder, and the masks that are good and not there yet.
 *
 * Source: `automatic_mask_generator.py` and `utils/amg.py` (facebookresearch/segment-anything), without crops. Masks
 * that fail by their predicted IoU are never upsampled, the others only where they lie.
 */

import type { HeightWidth } from './contract.js';
import type { EverythingSettings } from './everything_options.js';
import type { Manifest } from './manifest.js';
import { answeringTokens } from './mask_choice.js';
import { keptBoxes } from './nms.js';
import { maskRegion, type Region, upsample } from './postprocess.js';
import { type Point, pointFeeds } from './prompts.js';
import type { FoundMask } from './protocol.js';
import { encodeRle } from './rle.js';
import type { EncodedPicture, Segmenter } from './segmenter.js';

/** Called between batches with the part that is done, 0..1; raises to stop. */
export type Step = (done: number) => Promise<void>;

/** Return the masks, the best first. */
export async function segmentEverything(
  segmenter: Segmenter,
  picture: EncodedPicture,
  settings: EverythingSettings,
  step: Step,
): Promise<FoundMask[]> {
  const points = pointGrid(settings.pointsPerSide, picture.originalHw);
  const found: FoundMask[] = [];
  for (let start = 0; start < points.length; start += settings.pointsPerBatch) {
    await step(start / points.length);
    found.push(...(await ask(segmenter, picture, points.slice(start, start + settings.pointsPerBatch), settings)));
  }
  const kept = keptBoxes(
    found.map((mask) => mask.box),
    found.map((mask) => mask.iouPrediction),
    settings.boxNmsThreshold,
  );
  return kept.map((index) => found[index]!);
}

/** Return the centres of a square of cells over the picture, row by row. */
export function pointGrid(perSide: number, [height, width]: HeightWidth): Point[] {
  const at = (index: number, side: number) => ((index + 0.5) / perSide) * side;
  return Array.from({ length: perSide ** 2 }, (_, index) => [
    at(index % perSide, width),
    at(Math.floor(index / perSide), height),
  ]);
}

async function ask(
  segmenter: Segmenter,
  picture: EncodedPicture,
  points: readonly Point[],
  settings: EverythingSettings,
): Promise<FoundMask[]> {
  const { preprocessing, mask_rule: rule } = segmenter.manifest;
  const answer = await segmenter.decode(picture, pointFeeds(points, picture.originalHw, preprocessing, rule));
  const cells = rule.mask_hw[0] * rule.mask_hw[1];
  return points.flatMap((point, index) => {
    const lowRes = answer.lowRes.subarray(index * answer.tokens * cells, (index + 1) * answer.tokens * cells);
    const ious = answer.iouPredictions.subarray(index * answer.tokens, (index + 1) * answer.tokens);
    return answeringTokens(lowRes, ious, rule, true).flatMap((token) => {
      const iouPrediction = ious[token]!;
      if (settings.predIouThreshold > 0 && !(iouPrediction > settings.predIouThreshold)) return [];
      const logits = lowRes.subarray(token * cells, (token + 1) * cells);
      const mask = judged(logits, picture, rule, settings);
      return mask ? [{ ...mask, iouPrediction, point }] : [];
    });
  });
}

/** Return a mask that is stable and not empty, null for one that is not. */
function judged(
  lowRes: Float32Array,
  picture: EncodedPicture,
  { threshold }: Manifest['mask_rule'],
  { stabilityOffset: offset, stabilityThreshold }: EverythingSettings,
): Pick<FoundMask, 'rle' | 'area' | 'box' | 'stabilityScore'> | null {
  const region = maskRegion(lowRes, picture.geometry, threshold - offset);
  if (!region) return null;
  const logits = upsample(lowRes, picture.geometry, region);
  const stabilityScore = count(logits, threshold + offset) / count(logits, threshold - offset);
  if (stabilityThreshold > 0 && !(stabilityScore >= stabilityThreshold)) return null;
  const { mask, box, area } = placed(logits, threshold, region, picture.originalHw);
  return area === 0 ? null : { rle: encodeRle(mask, picture.originalHw), area, box, stabilityScore };
}

function count(logits: Float32Array, level: number): number {
  let above = 0;
  for (const logit of logits) if (logit > level) above++;
  return above;
}

/** Return the mask in the whole picture, the first and last pixels that it covers, and its area. */
function placed(
  logits: Float32Array,
  threshold: number,
  { top, bottom, left, right }: Region,
  [height, width]: HeightWidth,
): { mask: Uint8Array; box: [number, number, number, number]; area: number } {
  const mask = new Uint8Array(height * width);
  let [x0, y0, x1, y1] = [width, height, -1, -1];
  let area = 0;
  for (let y = top, source = 0; y < bottom; y++) {
    for (let x = left; x < right; x++) {
      if (!(logits[source++]! > threshold)) continue;
      mask[y * width + x] = 1;
      area++;
      [x0, x1, y0, y1] = [Math.min(x0, x), Math.max(x1, x), Math.min(y0, y), y];
    }
  }
  return { mask, box: [x0, y0, x1, y1], area };
}
