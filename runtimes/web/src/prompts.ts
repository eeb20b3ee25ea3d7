/**
 * Prompts in pixels of the picture, checked, and turned into what the mask decoder is fed.
 *
 * Coordinates run from 0 to the picture's width and height, both included: a box may touch every border. Nothing is
 * clipped. A point outside is an error; a box may reach one pixel outside, since detectors round so.
 */

import { type HeightWidth, type MaskRule, PointLabel, type Preprocessing } from './contract.js';
import { SamError } from './errors.js';
import { toPromptFrame } from './preprocess.js';

export type Point = readonly [x: number, y: number];
export type Box = readonly [x0: number, y0: number, x1: number, y1: number];

/** What a caller asks, in pixels of the picture: points with labels, a box, or both; and an earlier mask. */
export interface Prompt {
  readonly points?: readonly Point[] | undefined;
  /** One a point: 1 foreground, 0 background. */
  readonly labels?: readonly number[] | undefined;
  readonly box?: Box | undefined;
  /** `lowRes` of an earlier answer, [h, w] logits. */
  readonly mask?: Float32Array | undefined;
}

/**
 * What the mask decoder takes beside the encoder's outputs, for B prompts of N points each.
 *
 * Shapes:
 *   point_coords    [B, N, 2]     pixels of the prompt frame
 *   point_labels    [B, N]        `PointLabel` codes
 *   mask_input      [B, 1, h, w]  zeros where no mask is given; absent where the decoder takes none
 *   has_mask_input  [B]           1 or 0; likewise
 */
export interface DecoderFeeds {
  readonly batch: number;
  readonly pointCount: number;
  readonly tensors: Readonly<Record<string, Float32Array>>;
}

const BOX_OVERHANG = 1;
const LARGEST_FLOAT32 = 3.4028234663852886e38;

/** Return one checked prompt as a batch of one: points first, then the box's corners, then padding points. */
export function decoderFeeds(
  prompt: Prompt,
  originalHw: HeightWidth,
  pre: Preprocessing,
  rule: MaskRule,
): DecoderFeeds {
  checkPrompt(prompt, originalHw, rule);
  const coords = [...(prompt.points ?? []).flat(), ...(prompt.box ?? [])];
  const labels = [...(prompt.labels ?? [])];
  if (prompt.box) labels.push(PointLabel.BOX_TOP_LEFT, PointLabel.BOX_BOTTOM_RIGHT);
  const padding = paddingPoints(labels.length, prompt.box !== undefined, rule);
  return {
    batch: 1,
    pointCount: labels.length + padding,
    tensors: {
      point_coords: Float32Array.from([...toPromptFrame(coords, originalHw, pre), ...zeros(2 * padding)]),
      point_labels: Float32Array.from([...labels, ...zeros(padding).map(() => PointLabel.PADDING)]),
      ...maskFeeds(1, prompt.mask, rule),
    },
  };
}

/** Return B prompts of one foreground point each, for a grid over the picture. */
export function pointFeeds(
  points: readonly Point[],
  originalHw: HeightWidth,
  pre: Preprocessing,
  rule: MaskRule,
): DecoderFeeds {
  const inFrame = toPromptFrame(points.flat(), originalHw, pre);
  const padding = paddingPoints(1, false, rule);
  const coords = points.flatMap((_, index) => [...inFrame.subarray(index * 2, index * 2 + 2), ...zeros(2 * padding)]);
  const labels = [PointLabel.FOREGROUND, ...zeros(padding).map(() => PointLabel.PADDING)];
  return {
    batch: points.length,
    pointCount: labels.length,
    tensors: {
      point_coords: Float32Array.from(coords),
      point_labels: Float32Array.from(points.flatMap(() => labels)),
      ...maskFeeds(points.length, undefined, rule),
    },
  };
}

function maskFeeds(batch: number, mask: Float32Array | undefined, rule: MaskRule): Record<string, Float32Array> {
  if (!rule.takes_mask) return {};
  return {
    mask_input: mask ?? new Float32Array(batch * rule.mask_hw[0] * rule.mask_hw[1]),
    has_mask_input: new Float32Array(batch).fill(mask ? 1 : 0),
  };
}

function paddingPoints(count: number, boxed: boolean, rule: MaskRule): number {
  if (rule.point_slots !== null) return rule.point_slots - count;
  return rule.padding_point === 'always' || !boxed ? 1 : 0;
}

function zeros(count: number): number[] {
  return new Array<number>(count).fill(0);
}

/** Raise REQUEST_INVALID for a prompt that makes no sense; the text says which part and why. */
export function checkPrompt(prompt: Prompt, originalHw: HeightWidth, rule: MaskRule): void {
  if (!prompt.points && !prompt.labels && !prompt.box) {
    throw invalid('prompt: no point and no box given; give points with labels, a box, or both');
  }
  if (prompt.points || prompt.labels) checkPoints(prompt.points, prompt.labels, originalHw);
  if (prompt.box) checkBox(prompt.box, originalHw);
  if (prompt.mask) checkMask(prompt.mask, rule);
  checkSlots((prompt.points?.length ?? 0) + (prompt.box ? 2 : 0), rule);
}

function checkSlots(count: number, { point_slots: slots }: MaskRule): void {
  if (slots !== null && count > slots) {
    throw invalid(`prompt: ${count} points, box corners included; this model takes ${slots} in all; leave some out`);
  }
}

function checkPoints(points: Prompt['points'], labels: Prompt['labels'], [height, width]: HeightWidth): void {
  if (!points || !labels) {
    throw invalid(`prompt: ${points ? 'labels' : 'points'} missing; every point needs a label, 1 or 0`);
  }
  if (points.length === 0) throw invalid('points: none in the list; leave points and labels out, or give one');
  if (points.length !== labels.length) {
    throw invalid(`labels: ${labels.length} labels for ${points.length} points; give one label a point`);
  }
  for (const point of points) {
    checkNumbers('points', point, 2);
    const [x, y] = point;
    if (x < 0 || y < 0 || x > width || y > height) {
      throw invalid(`point ${x},${y}: outside the picture; allowed: x 0..${width}, y 0..${height}`);
    }
  }
  const unknown = labels.find((label) => label !== PointLabel.BACKGROUND && label !== PointLabel.FOREGROUND);
  if (unknown !== undefined) {
    throw invalid(`labels: ${unknown} is no label; allowed: 1 foreground, 0 background (boxes go apart)`);
  }
}

function checkBox(box: Box, [height, width]: HeightWidth): void {
  checkNumbers('box', box, 4);
  const [x0, y0, x1, y1] = box;
  const name = `box ${box.join(',')}`;
  if (x1 <= x0 || y1 <= y0) throw invalid(`${name}: empty or inverted; give x0,y0,x1,y1 with x0 < x1 and y0 < y1`);
  const overhangs = Math.min(x0, y0) < -BOX_OVERHANG || x1 > width + BOX_OVERHANG || y1 > height + BOX_OVERHANG;
  if (overhangs || x1 <= 0 || y1 <= 0 || x0 >= width || y0 >= height) {
    throw invalid(`${name}: reaches outside the picture; allowed: x 0..${width}, y 0..${height}; clip it first`);
  }
}

function checkMask(mask: Float32Array, { takes_mask, mask_hw: [height, width] }: MaskRule): void {
  if (!takes_mask) throw invalid('mask: this model takes no mask; leave it out');
  if (!(mask instanceof Float32Array) || mask.length !== height * width) {
    throw invalid(`mask: ${mask.length} values, allowed: ${height} x ${width} float32; give lowRes of an answer as is`);
  }
  if (!mask.every((value) => Math.abs(value) <= LARGEST_FLOAT32)) {
    throw invalid('mask: holds NaN or infinity; give lowRes of an answer as is');
  }
}

function checkNumbers(name: string, values: readonly number[], count: number): void {
  if (!Array.isArray(values) || values.length !== count || !values.every(Number.isFinite)) {
    throw invalid(`${name}: ${JSON.stringify(values)} given, allowed: ${count} finite numbers`);
  }
}

function invalid(message: string): SamError {
  return new SamError('REQUEST_INVALID', message);
}
