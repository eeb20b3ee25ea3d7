import { describe, expect, test } from 'vitest';
import type { HeightWidth } from '../../src/contract.js';
import { type MultiPolygon, maskPolygons } from '../../src/polygon.js';
import { decodeRle, encodeRle } from '../../src/rle.js';
import { drawn, golden, type RleCase } from '../goldens.js';

const { cases } = golden<{ cases: RleCase[] }>('rle.json');

describe('run lengths', () => {
  test.each(cases)('$name: as pycocotools writes them', ({ rows, counts }) => {
    const { mask, hw } = drawn(rows);
    expect(encodeRle(mask, hw)).toEqual({ size: hw, counts });
  });

  test.each(cases)('$name: back to the mask', ({ rows, counts }) => {
    const { mask, hw } = drawn(rows);
    expect(decodeRle({ size: [hw[0], hw[1]], counts })).toEqual(mask);
  });

  test('noise goes there and back', () => {
    const mask = noise([61, 47], 3);
    expect(decodeRle(encodeRle(mask, [61, 47]))).toEqual(mask);
  });
});

describe('polygons', () => {
  test('a pixel is the square around it', () => {
    const { mask, hw } = drawn(['....', '....', '....', '..#.']);
    expect(maskPolygons(mask, hw)).toEqual([[closed([3, 3], [3, 4], [2, 4], [2, 3])]]);
  });

  test('a hole belongs to the ring around it', () => {
    const { mask, hw } = drawn(cases.find((made) => made.name === 'hole')!.rows);
    const parts = maskPolygons(mask, hw);
    expect(parts.map((part) => part.length)).toEqual([2, 1]);
    expect(filled(parts, hw)).toEqual(mask);
  });

  test('pixels that touch at a corner are apart', () => {
    const { mask, hw } = drawn(['#.#.', '.#.#', '#.#.']);
    expect(maskPolygons(mask, hw).length).toBe(6);
  });

  test.each([1, 2, 3, 4, 5])('filling the outlines gives the mask back, noise %i', (seed) => {
    const hw = [23, 31] as const;
    const mask = noise(hw, seed);
    const parts = maskPolygons(mask, hw);
    expect(filled(parts, hw)).toEqual(mask);
    for (const part of parts)
      expect(filled([part], hw)).toSatisfy((one: Uint8Array) => one.every((v, i) => v <= mask[i]!));
  });

  test('an empty mask has none', () => {
    expect(maskPolygons(new Uint8Array(12), [3, 4])).toEqual([]);
  });

  test('a tolerance leaves out points and stays near', () => {
    const hw = [80, 80] as const;
    const disc = Uint8Array.from({ length: 6400 }, (_, i) =>
      Number(Math.hypot((i % 80) - 40, Math.floor(i / 80) - 40) < 30),
    );
    const [exact, loose] = [maskPolygons(disc, hw), maskPolygons(disc, hw, 1)];
    expect(loose[0]![0]!.length).toBeLessThan(exact[0]![0]!.length / 3);
    const differing = filled(loose, hw).filter((value, index) => value !== disc[index]).length;
    expect(differing / 2827).toBeLessThan(0.05);
  });
});

function closed(...points: [number, number][]): [number, number][] {
  return [...points, points[0]!];
}

function noise([height, width]: HeightWidth, seed: number): Uint8Array {
  let state = seed;
  return Uint8Array.from({ length: height * width }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Number(state >>> 24 > 110);
  });
}

/** The pixels whose centres are inside by the even-odd rule. */
function filled(parts: MultiPolygon, [height, width]: HeightWidth): Uint8Array {
  const edges = parts.flat().flatMap((ring) => ring.slice(1).map((to, index) => [ring[index]!, to] as const));
  return Uint8Array.from({ length: height * width }, (_, index) => {
    const [x, y] = [(index % width) + 0.5, Math.floor(index / width) + 0.5];
    const crossed = edges.filter(
      ([[x0, y0], [x1, y1]]) => y0 > y !== y1 > y && x0 + ((y - y0) / (y1 - y0)) * (x1 - x0) < x,
    );
    return crossed.length % 2;
  });
}
