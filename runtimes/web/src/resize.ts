/**
 * Pillow's antialiased bilinear resize of 8-bit pictures, to the last bit.
 *
 * Source: `src/libImaging/Resample.c` (python-pillow/Pillow): weights are rounded to 22 fractional bits, rows are done
 * before columns, and each of the two passes is rounded to 8 bits.
 */

import type { HeightWidth, RgbPicture } from './contract.js';

const FRACTION_BITS = 22;
const HALF = 1 << (FRACTION_BITS - 1);
const TRIANGLE_SUPPORT = 1;
const CHANNELS = 3;

/** For each output position: where its inputs begin, how many there are, and their weights in 22-bit fractions. */
interface Taps {
  readonly first: Int32Array;
  readonly count: Int32Array;
  readonly weights: Int32Array;
  readonly stride: number;
}

/** Return the picture at another size. A side that keeps its size is not filtered. */
export function resizeBilinear(picture: RgbPicture, hw: HeightWidth): RgbPicture {
  const [height, width] = hw;
  const wide = width === picture.hw[1] ? picture : resizeColumns(picture, width);
  return height === wide.hw[0] ? wide : resizeRows(wide, height);
}

function resizeColumns({ data, hw: [height, oldWidth] }: RgbPicture, width: number): RgbPicture {
  const taps = triangleTaps(oldWidth, width);
  const out = new Uint8Array(height * width * CHANNELS);
  for (let y = 0, target = 0; y < height; y++) {
    const row = y * oldWidth * CHANNELS;
    for (let x = 0; x < width; x++) {
      for (let channel = 0; channel < CHANNELS; channel++) {
        out[target++] = weighted(data, row + taps.first[x]! * CHANNELS + channel, CHANNELS, taps, x);
      }
    }
  }
  return { data: out, hw: [height, width] };
}

function resizeRows({ data, hw: [oldHeight, width] }: RgbPicture, height: number): RgbPicture {
  const taps = triangleTaps(oldHeight, height);
  const pitch = width * CHANNELS;
  const out = new Uint8Array(height * pitch);
  for (let y = 0, target = 0; y < height; y++) {
    const row = taps.first[y]! * pitch;
    for (let column = 0; column < pitch; column++) {
      out[target++] = weighted(data, row + column, pitch, taps, y);
    }
  }
  return { data: out, hw: [height, width] };
}

function weighted(data: Uint8Array, start: number, step: number, taps: Taps, position: number): number {
  const count = taps.count[position]!;
  const weight = position * taps.stride;
  let sum = HALF;
  for (let tap = 0, at = start; tap < count; tap++, at += step) sum += data[at]! * taps.weights[weight + tap]!;
  // The weights of a triangle are never negative, so only the upper end needs clipping.
  return Math.min(sum >> FRACTION_BITS, 255);
}

function triangleTaps(oldSize: number, size: number): Taps {
  const scale = oldSize / size;
  const filterScale = Math.max(scale, 1);
  const support = TRIANGLE_SUPPORT * filterScale;
  const stride = Math.ceil(support) * 2 + 1;
  const taps = {
    first: new Int32Array(size),
    count: new Int32Array(size),
    weights: new Int32Array(size * stride),
    stride,
  };
  for (let position = 0; position < size; position++) {
    const centre = (position + 0.5) * scale;
    const first = Math.max(Math.trunc(centre - support + 0.5), 0);
    const last = Math.min(Math.trunc(centre + support + 0.5), oldSize);
    taps.first[position] = first;
    taps.count[position] = last - first;
    taps.weights.set(fixedPoint(triangle(first, last, centre, 1 / filterScale)), position * stride);
  }
  return taps;
}

/** Return weights of the inputs from `first` up to `last`, summing to 1. */
function triangle(first: number, last: number, centre: number, inverseScale: number): number[] {
  const weights: number[] = [];
  let sum = 0;
  for (let input = first; input < last; input++) {
    const weight = Math.max(1 - Math.abs((input - centre + 0.5) * inverseScale), 0);
    weights.push(weight);
    sum += weight;
  }
  return sum === 0 ? weights : weights.map((weight) => weight / sum);
}

function fixedPoint(weights: readonly number[]): number[] {
  return weights.map((weight) => Math.trunc(0.5 + weight * 2 ** FRACTION_BITS));
}
