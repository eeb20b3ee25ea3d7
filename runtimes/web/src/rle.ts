/**
 * COCO's compressed run lengths, as `pycocotools` writes them.
 *
 * Runs go down the columns and begin with background. From the third on, each is the difference from the one two
 * before; numbers are written in groups of five bits, least first. Source: `common/maskApi.c` (cocodataset/cocoapi).
 */

import type { HeightWidth } from './contract.js';

/** `size` is [height, width]. */
export interface CocoRle {
  readonly size: [number, number];
  readonly counts: string;
}

const FIRST_CHARACTER = 48;
const GROUP_BITS = 5;
const GROUP_MASK = 0x1f;
const SIGN_BIT = 0x10;
const MORE_BIT = 0x20;

/** Return the run lengths of a mask, [height, width] with anything but 0 inside. */
export function encodeRle(mask: Uint8Array, [height, width]: HeightWidth): CocoRle {
  return { size: [height, width], counts: compress(runLengths(mask, height, width)) };
}

/** Return the mask, 1 inside. */
export function decodeRle({ size: [height, width], counts }: CocoRle): Uint8Array {
  const mask = new Uint8Array(height * width);
  let position = 0;
  decompress(counts).forEach((length, index) => {
    for (const end = position + length; position < end; position++) {
      if (index % 2 === 1) mask[(position % height) * width + Math.floor(position / height)] = 1;
    }
  });
  return mask;
}

function runLengths(mask: Uint8Array, height: number, width: number): number[] {
  const runs: number[] = [];
  let inside = false;
  let length = 0;
  for (let x = 0; x < width; x++) {
    for (let y = 0, at = x; y < height; y++, at += width) {
      if ((mask[at] !== 0) !== inside) {
        runs.push(length);
        inside = !inside;
        length = 0;
      }
      length++;
    }
  }
  runs.push(length);
  return runs;
}

function compress(runs: readonly number[]): string {
  return runs.map((run, index) => characters(index > 2 ? run - runs[index - 2]! : run)).join('');
}

function characters(value: number): string {
  let rest = value;
  let text = '';
  for (let more = true; more;) {
    const group = rest & GROUP_MASK;
    rest >>= GROUP_BITS;
    more = group & SIGN_BIT ? rest !== -1 : rest !== 0;
    text += String.fromCharCode(FIRST_CHARACTER + (more ? group | MORE_BIT : group));
  }
  return text;
}

function decompress(counts: string): number[] {
  const runs: number[] = [];
  for (let at = 0; at < counts.length;) {
    let value = 0;
    let shift = 0;
    let group = MORE_BIT;
    for (; group & MORE_BIT; shift += GROUP_BITS) {
      group = counts.charCodeAt(at++) - FIRST_CHARACTER;
      value |= (group & GROUP_MASK) << shift;
    }
    if (group & SIGN_BIT) value |= -1 << shift;
    runs.push(runs.length > 2 ? value + runs.at(-2)! : value);
  }
  return runs;
}
