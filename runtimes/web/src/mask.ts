/** The answers to a prompt, as pixels, as run lengths and as outlines. */

import { type Colour, colouredMask } from './coloured_mask.js';
import { type MultiPolygon, maskPolygons } from './polygon.js';
import { type CocoRle, encodeRle } from './rle.js';
import type { PredictedMask } from './segmenter.js';

/** A mask of the picture's own size. */
export class Mask {
  constructor(
    /** [height, width], 1 inside, rows first. */
    readonly data: Uint8Array<ArrayBuffer>,
    readonly width: number,
    readonly height: number,
    /** The model's own estimate of the mask's IoU. */
    readonly iouPrediction: number,
    /** Low-res logits, fit for the `mask` of a further prompt. */
    readonly lowRes: Float32Array<ArrayBuffer>,
  ) {}

  /** Return the mask in a colour, to be drawn over the picture; transparent outside. */
  toImageData(colour?: Colour): ImageData {
    return colouredMask(this.data, [this.height, this.width], colour);
  }

  /** Return COCO's compressed run lengths, as `pycocotools` reads them. */
  toRLE(): CocoRle {
    return encodeRle(this.data, [this.height, this.width]);
  }

  /** Return the outlines as GeoJSON's MultiPolygon; they leave the exact ones by at most `tolerance` pixels. */
  toPolygon(tolerance = 0): MultiPolygon {
    return maskPolygons(this.data, [this.height, this.width], tolerance);
  }

  /** Return how many pixels are inside. */
  get area(): number {
    return this.data.reduce((sum, value) => sum + value, 0);
  }
}

export class Prediction {
  constructor(readonly masks: readonly Mask[]) {}

  /** The mask that the model itself expects to be the best. */
  get best(): Mask {
    return this.masks.reduce((best, mask) => (mask.iouPrediction > best.iouPrediction ? mask : best));
  }
}

export function predictionOf(masks: readonly PredictedMask[], width: number, height: number): Prediction {
  return new Prediction(
    masks.map(({ mask, iouPrediction, lowRes }) => new Mask(mask, width, height, iouPrediction, lowRes)),
  );
}
