/** A mask as pixels to be drawn over the picture. */

import type { HeightWidth } from './contract.js';

/** Red, green, blue and opacity, 0..255 each. */
export type Colour = readonly [red: number, green: number, blue: number, opacity: number];

const DEFAULT_COLOUR: Colour = [30, 144, 255, 153];

/** Return a mask, 1 inside, rows first, in a colour; transparent outside. */
export function colouredMask(mask: Uint8Array, [height, width]: HeightWidth, colour = DEFAULT_COLOUR): ImageData {
  const pixels = new Uint8ClampedArray(mask.length * 4);
  for (let index = 0; index < mask.length; index++) if (mask[index]) pixels.set(colour, index * 4);
  return new ImageData(pixels, width, height);
}
