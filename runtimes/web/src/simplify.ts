/** Fewer points for an outline (Ramer, Douglas and Peucker), never further than a tolerance from the exact one. */

import type { Ring } from './polygon.js';

const FEWEST_POINTS = 4;

/** Return a closed ring with points left out; the ring itself where too few would be left. */
export function simplifyRing(ring: Ring, tolerance: number): Ring {
  if (tolerance <= 0 || ring.length <= FEWEST_POINTS) return ring;
  const half = furthest(ring, 0, ring.length - 1).index;
  const kept = new Set([0, half, ring.length - 1]);
  const spans: [number, number][] = [
    [0, half],
    [half, ring.length - 1],
  ];
  for (let span = spans.pop(); span; span = spans.pop()) {
    const { index, distance } = furthest(ring, ...span);
    if (distance > tolerance) {
      kept.add(index);
      spans.push([span[0], index], [index, span[1]]);
    }
  }
  return kept.size < FEWEST_POINTS ? ring : ring.filter((_, index) => kept.has(index));
}

/** Return the point between two others that lies furthest from the line between them. */
function furthest(ring: Ring, from: number, to: number): { index: number; distance: number } {
  const found = { index: from, distance: -1 };
  for (let index = from + 1; index < to; index++) {
    const distance = distanceToSegment(ring[index]!, ring[from]!, ring[to]!);
    if (distance > found.distance) Object.assign(found, { index, distance });
  }
  return found;
}

function distanceToSegment([x, y]: Ring[0], [x0, y0]: Ring[0], [x1, y1]: Ring[0]): number {
  const [dx, dy] = [x1 - x0, y1 - y0];
  const squared = dx * dx + dy * dy;
  const along = squared === 0 ? 0 : Math.min(Math.max(((x - x0) * dx + (y - y0) * dy) / squared, 0), 1);
  return Math.hypot(x - x0 - along * dx, y - y0 - along * dy);
}
