/**
 * Low-res logits become logits in the caller's picture.
 *
 * Upsampling to the prompt frame, cropping off the padding and resizing to the picture are all linear and separable,
 * so each axis is one list of weights: a pixel takes from at most four neighbouring cells.
 */

import type { HeightWidth, MaskRule, Preprocessing } from './contract.js';
import { fittedHw } from './preprocess.js';

/** What each pixel of one axis takes from the cells of the low-res mask: `TAPS` cells and their weights. */
interface AxisWeights {
  readonly cells: Int32Array;
  readonly weights: Float32Array;
}

/** How a low-res mask lies over a picture; made once per picture. */
export interface MaskGeometry {
  readonly originalHw: HeightWidth;
  readonly maskHw: HeightWidth;
  readonly rows: AxisWeights;
  readonly columns: AxisWeights;
}

/** A part of the picture: rows `top` up to `bottom`, columns `left` up to `right`. */
export interface Region {
  readonly top: number;
  readonly bottom: number;
  readonly left: number;
  readonly right: number;
}

const TAPS = 4;

/** Return the two axes of a picture. The same numbers as two calls of torch's bilinear `interpolate`. */
export function maskGeometry(originalHw: HeightWidth, pre: Preprocessing, rule: MaskRule): MaskGeometry {
  // Left out, the frame is as large as the mask: interpolating to the same size changes nothing.
  const frame = rule.upsampling === 'direct' ? rule.mask_hw : pre.prompt_frame_hw;
  const covered = fittedHw(originalHw, frame, pre.fit);
  const axis = (at: 0 | 1) => axisWeights(rule.mask_hw[at], frame[at], covered[at], originalHw[at]);
  return { originalHw, maskHw: rule.mask_hw, rows: axis(0), columns: axis(1) };
}

export function wholePicture([height, width]: HeightWidth): Region {
  return { top: 0, bottom: height, left: 0, right: width };
}

/**
 * Return a region outside of which no logit in the picture is above `level`, null if none is anywhere.
 *
 * A pixel is a mean of its cells, so it cannot be above all of them.
 */
export function maskRegion(
  lowRes: Float32Array,
  { maskHw, rows, columns }: MaskGeometry,
  level: number,
): Region | null {
  const [height, width] = maskHw;
  let [top, bottom, left, right] = [height, -1, width, -1];
  for (let y = 0, cell = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      if (!(lowRes[cell++]! > level)) continue;
      [top, bottom, left, right] = [Math.min(top, y), y, Math.min(left, x), Math.max(right, x)];
    }
  }
  const [tall, wide] = [pixelsOf(rows, top, bottom), pixelsOf(columns, left, right)];
  return tall && wide ? { top: tall[0], bottom: tall[1], left: wide[0], right: wide[1] } : null;
}

/** Return the first pixel of an axis that takes from a range of cells, and the one after the last. */
function pixelsOf({ cells }: AxisWeights, first: number, last: number): readonly [number, number] | null {
  const within = (cell: number) => cell >= first && cell <= last;
  const start = cells.findIndex(within);
  return start < 0 ? null : [Math.floor(start / TAPS), Math.floor(cells.findLastIndex(within) / TAPS) + 1];
}

/**
 * Return mask logits in the caller's picture, or in a region of it.
 *
 * Shapes:
 *   lowRes   [h, w]  float32, logits at `rule.mask_hw`
 *   returns  [region's height, region's width]  float32
 */
export function upsample(lowRes: Float32Array, geometry: MaskGeometry, region?: Region): Float32Array {
  const { top, bottom, left, right } = region ?? wholePicture(geometry.originalHw);
  const wide = widened(lowRes, geometry, left, right);
  const width = right - left;
  const { cells, weights } = geometry.rows;
  const out = new Float32Array((bottom - top) * width);
  for (let y = top, target = 0; y < bottom; y++) {
    const tap = y * TAPS;
    const [a, b, c, d] = [
      cells[tap]! * width,
      cells[tap + 1]! * width,
      cells[tap + 2]! * width,
      cells[tap + 3]! * width,
    ];
    const [wa, wb, wc, wd] = [weights[tap]!, weights[tap + 1]!, weights[tap + 2]!, weights[tap + 3]!];
    for (let x = 0; x < width; x++) {
      out[target++] = wide[a + x]! * wa + wide[b + x]! * wb + wide[c + x]! * wc + wide[d + x]! * wd;
    }
  }
  return out;
}

/** Return `lowRes` with its columns upsampled: [h, right - left]. */
function widened(lowRes: Float32Array, { maskHw, columns }: MaskGeometry, left: number, right: number): Float32Array {
  const { cells, weights } = columns;
  const wide = new Float32Array(maskHw[0] * (right - left));
  for (let y = 0, target = 0; y < maskHw[0]; y++) {
    const row = y * maskHw[1];
    for (let x = left; x < right; x++) {
      let sum = 0;
      for (let tap = x * TAPS; tap < (x + 1) * TAPS; tap++) sum += lowRes[row + cells[tap]!]! * weights[tap]!;
      wide[target++] = sum;
    }
  }
  return wide;
}

function axisWeights(mask: number, frame: number, covered: number, original: number): AxisWeights {
  const inFrame = neighbours(mask, frame);
  const inPicture = neighbours(covered, original);
  const axis = { cells: new Int32Array(original * TAPS), weights: new Float32Array(original * TAPS) };
  for (let pixel = 0; pixel < original; pixel++) {
    for (let tap = 0; tap < TAPS; tap++) {
      const outer = pixel * 2 + (tap >> 1);
      const inner = inPicture.index[outer]! * 2 + (tap & 1);
      axis.cells[pixel * TAPS + tap] = inFrame.index[inner]!;
      axis.weights[pixel * TAPS + tap] = inPicture.weight[outer]! * inFrame.weight[inner]!;
    }
  }
  return axis;
}

/**
 * Return, for `size` positions between `count` values, the two neighbours of each and their weights: linear, at
 * half-pixel centres, clamped at the ends. Positions are rounded to float32 once, as torch leaves them.
 */
function neighbours(count: number, size: number): { index: Int32Array; weight: Float32Array } {
  const scale = Math.fround(count / size);
  const found = { index: new Int32Array(size * 2), weight: new Float32Array(size * 2) };
  for (let position = 0; position < size; position++) {
    const exact = Math.max(Math.fround((position + 0.5) * scale - 0.5), 0);
    const lower = Math.min(Math.trunc(exact), count - 1);
    const weight = Math.fround(exact - lower);
    found.index.set([lower, Math.min(lower + 1, count - 1)], position * 2);
    found.weight.set([1 - weight, weight], position * 2);
  }
  return found;
}
