/** What a browser shows becomes RGB pixels. What would change a mask unseen, transparency, is refused. */

import type { RgbPicture } from './contract.js';
import { reasonOf, SamError } from './errors.js';

/** Pixels as RGBA, rows first; `ImageData` is one. */
export interface RgbaPixels {
  readonly data: Uint8ClampedArray | Uint8Array;
  readonly width: number;
  readonly height: number;
}

/** What travels to the worker. A Blob is an encoded picture; EXIF rotation is applied, colour profiles are not. */
export type PictureMessage = Blob | ImageBitmap | RgbaPixels;

/** Above this many pixels a picture is refused, as by the Python runtime. */
const MAX_PIXELS = 100_000_000;
const OPAQUE = 255;

/** Return the picture as RGB. Raises IMAGE_INVALID for one that is no picture, empty, too large or transparent. */
export async function rgbPicture(source: PictureMessage): Promise<RgbPicture> {
  if (source instanceof Blob) {
    const bitmap = await decoded(source);
    try {
      return fromRgba(bitmapPixels(bitmap));
    } finally {
      bitmap.close();
    }
  }
  return fromRgba(source instanceof ImageBitmap ? bitmapPixels(source) : source);
}

async function decoded(blob: Blob): Promise<ImageBitmap> {
  try {
    return await createImageBitmap(blob, { premultiplyAlpha: 'none', colorSpaceConversion: 'none' });
  } catch (cause) {
    const message = `picture of ${blob.size} bytes: not one that this browser reads (${reasonOf(cause)})`;
    throw new SamError('IMAGE_INVALID', `${message}; give a PNG, JPEG or WebP`, { cause });
  }
}

function bitmapPixels(bitmap: ImageBitmap): RgbaPixels {
  const { width, height } = bitmap;
  checkSize(width, height);
  const context = new OffscreenCanvas(width, height).getContext('2d', { willReadFrequently: true });
  if (!context) throw new SamError('OUT_OF_MEMORY', `picture ${width}x${height}: no canvas left; scale it down`);
  context.drawImage(bitmap, 0, 0);
  return context.getImageData(0, 0, width, height);
}

/** Return RGBA pixels as RGB. */
export function fromRgba({ data, width, height }: RgbaPixels): RgbPicture {
  checkSize(width, height);
  if (data.length !== width * height * 4) {
    const message = `picture ${width}x${height}: ${data.length} bytes, allowed: ${width * height * 4} (RGBA)`;
    throw new SamError('IMAGE_INVALID', message);
  }
  const rgb = new Uint8Array(width * height * 3);
  for (let source = 0, target = 0; source < data.length; source += 4) {
    if (data[source + 3] !== OPAQUE) throw transparent(width, height);
    rgb[target++] = data[source]!;
    rgb[target++] = data[source + 1]!;
    rgb[target++] = data[source + 2]!;
  }
  return { data: rgb, hw: [height, width] };
}

function transparent(width: number, height: number): SamError {
  const message = `picture ${width}x${height}: transparent pixels, and what shows through them changes the mask`;
  return new SamError('IMAGE_INVALID', `${message}; draw it on a background of your choice first`);
}

function checkSize(width: number, height: number): void {
  const whole = Number.isInteger(width) && Number.isInteger(height);
  if (!whole || width < 1 || height < 1 || width * height > MAX_PIXELS) {
    const message = `picture ${width}x${height}: allowed: 1 to ${MAX_PIXELS} pixels; scale it down`;
    throw new SamError('IMAGE_INVALID', message);
  }
}
