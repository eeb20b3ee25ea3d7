/**
 * Outlines of a mask along the edges of its pixels, so that filling them gives the mask back, pixel for pixel.
 *
 * Pixels that touch only at a corner are apart, so no outline crosses itself. Corners lie on whole numbers: a single
 * pixel at 2,3 is the square from 2,3 to 3,4.
 */

import type { HeightWidth } from './contract.js';
import { simplifyRing } from './simplify.js';

export type Ring = [x: number, y: number][];
/** As GeoJSON's MultiPolygon: for each part its outer ring, then its holes. Rings are closed by their first point. */
export type MultiPolygon = Ring[][];

type Direction = 0 | 1 | 2 | 3;
const RIGHT = 0;
const DOWN = 1;
const LEFT = 2;
const UP = 3;
const STEPS = [
  [1, 0],
  [0, 1],
  [-1, 0],
  [0, -1],
] as const;

/**
 * Return the outlines. Outer rings turn clockwise as seen on the screen (y down), holes the other way.
 *
 * `tolerance`: how far, in pixels, the outline may leave the exact one; 0 keeps it. A ring never gets fewer than
 * four points.
 */
export function maskPolygons(mask: Uint8Array, hw: HeightWidth, tolerance = 0): MultiPolygon {
  const outer: Ring[] = [];
  const holes: Ring[] = [];
  for (const ring of traceRings(mask, hw)) (signedArea(ring) > 0 ? outer : holes).push(ring);
  return withHoles(outer, holes).map((part) => part.map((ring) => simplifyRing(ring, tolerance)));
}

/** Return every ring once, each with the mask on its right hand side. */
function traceRings(mask: Uint8Array, hw: HeightWidth): Ring[] {
  const seen = new Uint8Array(mask.length);
  const rings: Ring[] = [];
  for (let y = 0; y < hw[0]; y++) {
    for (let x = 0; x < hw[1]; x++) {
      // Every ring, outer or hole, has an edge along the top of some pixel, walked to the right.
      if (inside(mask, hw, x, y) && !inside(mask, hw, x, y - 1) && !seen[y * hw[1] + x]) {
        rings.push(traceRing(mask, hw, x, y, seen));
      }
    }
  }
  return rings;
}

function traceRing(mask: Uint8Array, hw: HeightWidth, startX: number, startY: number, seen: Uint8Array): Ring {
  const ring: Ring = [];
  let [x, y] = [startX, startY];
  let direction: Direction = RIGHT;
  do {
    if (direction === RIGHT) seen[y * hw[1] + x] = 1;
    x += STEPS[direction][0];
    y += STEPS[direction][1];
    const next = turn(mask, hw, x, y, direction);
    if (next !== direction) ring.push([x, y]);
    direction = next;
  } while (x !== startX || y !== startY || direction !== RIGHT);
  ring.push([...ring[0]!]);
  return ring;
}

/** Return where to go from a corner: hug the mask on the right, and part pixels that touch only there. */
function turn(mask: Uint8Array, hw: HeightWidth, x: number, y: number, direction: Direction): Direction {
  const [ahead, aheadLeft] = aheadOf(mask, hw, x, y, direction);
  if (!ahead) return ((direction + 1) % 4) as Direction;
  return aheadLeft ? (((direction + 3) % 4) as Direction) : direction;
}

/** Return whether the two pixels in front of a corner, to the right and to the left of the way, are in the mask. */
function aheadOf(mask: Uint8Array, hw: HeightWidth, x: number, y: number, direction: Direction): [boolean, boolean] {
  const at = (dx: number, dy: number) => inside(mask, hw, x + dx, y + dy);
  switch (direction) {
    case RIGHT:
      return [at(0, 0), at(0, -1)];
    case DOWN:
      return [at(-1, 0), at(0, 0)];
    case LEFT:
      return [at(-1, -1), at(-1, 0)];
    case UP:
      return [at(0, -1), at(-1, -1)];
  }
}

function inside(mask: Uint8Array, [height, width]: HeightWidth, x: number, y: number): boolean {
  return x >= 0 && y >= 0 && x < width && y < height && mask[y * width + x] !== 0;
}

/** Twice the area; positive where the ring turns clockwise on the screen. */
function signedArea(ring: Ring): number {
  let sum = 0;
  for (let index = 1; index < ring.length; index++) {
    const [x0, y0] = ring[index - 1]!;
    const [x1, y1] = ring[index]!;
    sum += x0 * y1 - x1 * y0;
  }
  return sum;
}

/** Give each hole to the smallest outer ring around it. */
function withHoles(outer: readonly Ring[], holes: readonly Ring[]): MultiPolygon {
  const parts = outer.map((ring) => ({ ring, area: signedArea(ring), holes: [] as Ring[] }));
  parts.sort((one, other) => one.area - other.area);
  for (const hole of holes) {
    const pixel = pixelOnTheLeft(hole);
    parts.find(({ ring }) => contains(ring, pixel))?.holes.push(hole);
  }
  return parts.reverse().map((part) => [part.ring, ...part.holes]);
}

/** Return the centre of a pixel along the ring's first edge, outside the mask. */
function pixelOnTheLeft(ring: Ring): readonly [number, number] {
  const [[x0, y0], [x1, y1]] = ring as [Ring[0], Ring[0]];
  const [dx, dy] = [Math.sign(x1 - x0) / 2, Math.sign(y1 - y0) / 2];
  return [x0 + dx + dy, y0 + dy - dx];
}

/** Whether a ring goes around the centre of a pixel; a ray to the left counts the vertical edges it meets. */
function contains(ring: Ring, [x, y]: readonly [number, number]): boolean {
  let odd = false;
  for (let index = 1; index < ring.length; index++) {
    const [[x0, y0], [, y1]] = [ring[index - 1]!, ring[index]!];
    if (y0 > y !== y1 > y && x0 < x) odd = !odd;
  }
  return odd;
}
