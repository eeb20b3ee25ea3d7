/** The masks that the model gave, by the prompt that asked for them. */

import type { Box, CocoRle, FoundObject, Mask, MultiPolygon } from 'sam-export-web';
import type { ObjectPrompt } from './scene.js';

/** A mask in the forms that the page draws and writes. `box`: x, y of its first and of its last pixels. */
export interface Answer {
  readonly rle: CocoRle;
  readonly outline: MultiPolygon;
  readonly area: number;
  readonly box: Box;
  readonly iouPrediction: number;
}

/** How far, in pixels of the picture, a drawn outline may leave the exact one. */
const OUTLINE_TOLERANCE = 0.8;

export class Answers {
  private readonly found = new WeakMap<ObjectPrompt, Answer>();

  get(prompt: ObjectPrompt): Answer | null {
    return this.found.get(prompt) ?? null;
  }

  set(prompt: ObjectPrompt, answer: Answer): void {
    this.found.set(prompt, answer);
  }
}

export function answerOfMask(mask: Mask): Answer {
  const { area, box } = extent(mask);
  return {
    rle: mask.toRLE(),
    outline: mask.toPolygon(OUTLINE_TOLERANCE),
    area,
    box,
    iouPrediction: mask.iouPrediction,
  };
}

export function answerOfObject(found: FoundObject): Answer {
  const { area, box, iouPrediction } = found;
  return { rle: found.toRLE(), outline: found.toPolygon(OUTLINE_TOLERANCE), area, box, iouPrediction };
}

/** Return the part of the picture that an answer covers, 0..1. */
export function coverage({ area, rle }: Answer): number {
  return area / (rle.size[0] * rle.size[1]);
}

function extent({ data, width, height }: Mask): { area: number; box: Box } {
  let [x0, y0, x1, y1, area] = [width, height, 0, 0, 0];
  for (let y = 0, at = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      if (data[at++] === 0) continue;
      area++;
      if (x < x0) x0 = x;
      if (x > x1) x1 = x;
      if (y < y0) y0 = y;
      y1 = y;
    }
  }
  return { area, box: area === 0 ? [0, 0, 0, 0] : [x0, y0, x1, y1] };
}
