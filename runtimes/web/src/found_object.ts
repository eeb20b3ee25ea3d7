/** One mask of everything in a picture. */

import { type Colour, colouredMask } from './coloured_mask.js';
import { type MultiPolygon, maskPolygons } from './polygon.js';
import type { FoundMask } from './protocol.js';
import { type CocoRle, decodeRle } from './rle.js';

export class FoundObject {
  constructor(private readonly found: FoundMask) {}

  get area(): number {
    return this.found.area;
  }

  /** x0, y0, x1, y1 of its first and of its last pixels. */
  get box(): FoundMask['box'] {
    return this.found.box;
  }

  /** The model's own estimate of the mask's IoU. */
  get iouPrediction(): number {
    return this.found.iouPrediction;
  }

  get stabilityScore(): number {
    return this.found.stabilityScore;
  }

  /** The point that was asked. */
  get point(): FoundMask['point'] {
    return this.found.point;
  }

  /** Return the mask of the picture's size, 1 inside, rows first. */
  toMask(): Uint8Array {
    return decodeRle(this.found.rle);
  }

  /** Return the mask in a colour, to be drawn over the picture; transparent outside. */
  toImageData(colour?: Colour): ImageData {
    return colouredMask(this.toMask(), this.found.rle.size, colour);
  }

  toRLE(): CocoRle {
    return this.found.rle;
  }

  toPolygon(tolerance = 0): MultiPolygon {
    return maskPolygons(this.toMask(), this.found.rle.size, tolerance);
  }
}
