/**
 * The bundle's own case: its picture, its prompts, and the masks that it gave when it was verified.
 *
 * Devices that return zeros or noise without an error are a known failure of this field; this finds them on the spot.
 */

import type { RgbPicture } from './contract.js';
import { SamError } from './errors.js';
import type { SelfTest, SelfTestCase } from './manifest.js';
import type { Prompt } from './prompts.js';
import type { Segmenter } from './segmenter.js';

export interface SelfTestResult {
  readonly case: string;
  readonly iou: number;
  readonly minIou: number;
}

/** The pictures of the self-test, decoded. */
export interface SelfTestPictures {
  readonly picture: RgbPicture;
  readonly masks: readonly RgbPicture[];
}

/** Return the IoU of every case. Raises SELFTEST_FAILED if one is below the bundle's limit, BUNDLE_INVALID for no case. */
export async function runSelfTest(
  segmenter: Segmenter,
  selftest: SelfTest,
  { picture, masks }: SelfTestPictures,
  device: string,
): Promise<SelfTestResult[]> {
  if (selftest.cases.length === 0)
    throw new SamError('BUNDLE_INVALID', 'selftest: has no case; export the bundle again');
  const encoded = await segmenter.encode(picture);
  const results: SelfTestResult[] = [];
  try {
    for (const [index, expected] of selftest.cases.entries()) {
      const answers = await segmenter.predict(encoded, promptOf(expected), expected.multimask_output);
      const iou = maskIou(expectedMask(masks[index]!, picture, expected), answered(answers, expected));
      results.push({ case: expected.mask.path, iou, minIou: selftest.min_iou });
    }
  } finally {
    segmenter.release(encoded);
  }
  const worst = results.reduce((least, result) => (result.iou < least.iou ? result : least));
  if (!(worst.iou >= worst.minIou)) {
    const measured = `mask IoU ${worst.iou.toFixed(3)}, minimum ${worst.minIou.toFixed(3)}`;
    throw new SamError('SELFTEST_FAILED', `self-test ${worst.case} on ${device}: ${measured}; use another device`);
  }
  return results;
}

/** Return intersection over union of two masks of one size; 1 where both are empty. */
export function maskIou(reference: Uint8Array, candidate: Uint8Array): number {
  let both = 0;
  let either = 0;
  for (let index = 0; index < reference.length; index++) {
    both += reference[index]! & candidate[index]!;
    either += reference[index]! | candidate[index]!;
  }
  return either === 0 ? 1 : both / either;
}

function promptOf({ box, point_coords, point_labels }: SelfTestCase): Prompt {
  return { box: box ?? undefined, points: point_coords ?? undefined, labels: point_labels ?? undefined };
}

function answered(answers: readonly { mask: Uint8Array }[], { index, mask }: SelfTestCase): Uint8Array {
  const answer = answers[index];
  if (!answer) throw new SamError('BUNDLE_INVALID', `${mask.path}: asks for mask ${index} of ${answers.length}`);
  return answer.mask;
}

function expectedMask(mask: RgbPicture, picture: RgbPicture, { mask: { path } }: SelfTestCase): Uint8Array {
  const inside = Uint8Array.from({ length: mask.data.length / 3 }, (_, index) => Number(mask.data[index * 3]! > 127));
  if (mask.hw.join() !== picture.hw.join() || !inside.includes(1)) {
    throw new SamError('BUNDLE_INVALID', `${path}: empty, or not of the self-test picture's size; export it again`);
  }
  return inside;
}
