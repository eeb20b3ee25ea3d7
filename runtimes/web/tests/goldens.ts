/** The goldens that Python wrote, and the formulas of their inputs. */

import { readFileSync } from 'node:fs';
import type { HeightWidth, MaskRule, Preprocessing, RgbPicture } from '../src/contract.js';
import type { Box, Point } from '../src/prompts.js';

const FOLDER = new URL('../../../tests/goldens/', import.meta.url);
const KNUTH = 2654435761;

export interface Named {
  readonly name: string;
}

export interface PreparedCase extends Named {
  readonly original_hw: HeightWidth;
  readonly preprocessing: Preprocessing;
  readonly resized_hw: HeightWidth;
  readonly tensor_sha256: string;
  readonly first_row: number[];
  readonly points_in_picture: Point[];
  readonly points_in_frame: Point[];
}

export interface AskedPrompt {
  readonly points?: Point[];
  readonly labels?: number[];
  readonly box?: Box;
  readonly mask?: true;
}

export interface PromptGolden {
  readonly original_hw: HeightWidth;
  readonly preprocessing: Preprocessing;
  readonly cases: (Named & {
    readonly prompt: AskedPrompt;
    readonly mask_rule: MaskRule;
    readonly point_coords: number[][][];
    readonly point_labels: number[][];
    readonly has_mask_input: number[] | null;
    readonly mask_input_sum: number | null;
  })[];
  readonly refused: (Named & { readonly prompt: AskedPrompt; readonly mask_rule: MaskRule })[];
}

export interface UpsampledCase extends Named {
  readonly original_hw: HeightWidth;
  readonly preprocessing: Preprocessing;
  readonly mask_rule: MaskRule;
  readonly spots: [number, number][];
  readonly logits: number[];
  readonly counts: string;
}

export interface ChoiceGolden {
  readonly mask_hw: HeightWidth;
  readonly iou_predictions: number[];
  readonly cases: (Named & {
    readonly cells_at_the_edge: number;
    readonly mask_rule: MaskRule;
    readonly multimask_output: boolean;
    readonly tokens: number[];
    readonly first_fed_back: number[];
  })[];
}

export interface RleCase extends Named {
  readonly rows: string[];
  readonly counts: string;
}

export function golden<T>(name: string): T {
  return JSON.parse(readFileSync(new URL(name, FOLDER), 'utf8')) as T;
}

export function goldenBytes(name: string): Uint8Array<ArrayBuffer> {
  return new Uint8Array(readFileSync(new URL(name, FOLDER)));
}

/** Byte i is the upper byte of i times Knuth's constant. */
export function picture(hw: HeightWidth): RgbPicture {
  const data = Uint8Array.from({ length: hw[0] * hw[1] * 3 }, (_, index) => Math.imul(index, KNUTH) >>> 24);
  return { data, hw };
}

/** An ellipse and a small disc beside it, [h, w] logits. */
export function lowRes([h, w]: HeightWidth): Float32Array {
  return Float32Array.from({ length: h * w }, (_, index) => {
    const [i, j] = [Math.floor(index / w), index % w];
    const large = 12.37 - (i - 0.4 * h) ** 2 / 9 - (j - 0.55 * w) ** 2 / 5;
    return Math.max(large, 3.21 - (i - 0.8 * h) ** 2 - (j - 0.2 * w) ** 2);
  });
}

/** [4, h, w]: the first has 100 cells that are not background, so many of them at 0; the others are 1. */
export function edgeMasks(cellsAtTheEdge: number, [h, w]: HeightWidth): Float32Array {
  const masks = new Float32Array(4 * h * w).fill(1);
  masks.fill(-5, 0, h * w);
  masks.fill(5, 0, 100);
  masks.fill(0, 0, cellsAtTheEdge);
  return masks;
}

/** Rows of `#` and `.` as a mask. */
export function drawn(rows: readonly string[]): { mask: Uint8Array; hw: HeightWidth } {
  return { mask: Uint8Array.from(rows.join(''), (sign) => Number(sign === '#')), hw: [rows.length, rows[0]!.length] };
}
