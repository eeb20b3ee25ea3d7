/** What a page has as a picture becomes what can travel to the worker. */

import { SamError } from './errors.js';
import type { PictureMessage, RgbaPixels } from './pictures.js';

/** An encoded picture (Blob), pixels (ImageData or RGBA bytes), or anything that the browser can draw. */
export type PictureSource = PictureMessage | HTMLImageElement | HTMLVideoElement | HTMLCanvasElement | OffscreenCanvas;

/** Return the picture as a Blob, a bitmap or pixels; the caller's own object is left as it is. */
export async function pictureMessage(source: PictureSource): Promise<PictureMessage> {
  if (source instanceof Blob || source instanceof ImageBitmap) return source;
  if (isPixels(source)) return { data: source.data, width: source.width, height: source.height };
  if (!isDrawable(source)) {
    const message = 'picture: allowed: Blob, ImageBitmap, ImageData, RGBA pixels, or an image, video or canvas';
    throw new SamError('IMAGE_INVALID', message);
  }
  return createImageBitmap(source, { premultiplyAlpha: 'none', colorSpaceConversion: 'none' }).catch(
    (cause: unknown) => {
      throw new SamError('IMAGE_INVALID', 'picture: nothing to draw yet; wait until it is loaded', { cause });
    },
  );
}

function isPixels(source: object): source is RgbaPixels {
  return 'data' in source && (source.data instanceof Uint8ClampedArray || source.data instanceof Uint8Array);
}

function isDrawable(source: unknown): source is ImageBitmapSource {
  return [globalThis.HTMLImageElement, globalThis.HTMLVideoElement, globalThis.HTMLCanvasElement, OffscreenCanvas]
    .filter((kind) => kind !== undefined)
    .some((kind) => source instanceof kind);
}
