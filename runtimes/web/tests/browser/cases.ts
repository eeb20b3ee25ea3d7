/** What Python made for these tests: bundles, pictures, prompts, and the masks that its own runtime gives. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Prompt } from '../../src/prompts.js';
import { type CocoRle, decodeRle } from '../../src/rle.js';
import type { EverythingOptions } from '../../src/sam.js';
import { maskIou } from '../../src/selftest.js';

export interface Case {
  readonly name: string;
  readonly bundle: string;
  /** What to ask for, and what then runs in WebAssembly. */
  readonly variant: string | null;
  readonly runs: string;
  readonly picture: string;
  readonly embedding: string;
  /** The pages to try it in. */
  readonly settings: readonly { readonly kind: 'isolated' | 'plain'; readonly threads: number }[];
  /** How alike the masks must be. */
  readonly min_iou: number;
  readonly prompts: readonly {
    readonly prompt: Prompt;
    readonly multimask: boolean;
    readonly masks: readonly CocoRle[];
    readonly iou_predictions: readonly number[];
  }[];
  readonly everything: {
    readonly options: EverythingOptions;
    readonly masks: readonly { readonly rle: CocoRle; readonly stability: number }[];
  } | null;
}

export const FOLDER = process.env['SAM_WEB_CASES'] ?? '';

export function readCases(): Case[] {
  return JSON.parse(readFileSync(join(FOLDER, 'cases.json'), 'utf8')) as Case[];
}

/** Return the IoU of two masks as run lengths. */
export function rleIou(reference: CocoRle, candidate: CocoRle): number {
  if (reference.size.join() !== candidate.size.join()) return 0;
  return maskIou(decodeRle(reference), decodeRle(candidate));
}
