/** The picture on the page: what a person dropped, pasted, chose or took from the samples. */

import { PageError } from './words.js';

export interface Picture {
  readonly name: string;
  /** What is encoded: the file itself, or a PNG of it on white where it was transparent. */
  readonly blob: Blob;
  readonly bitmap: ImageBitmap;
  readonly width: number;
  readonly height: number;
  readonly wasTransparent: boolean;
}

/** Above this many pixels the page itself would run short of memory. */
const MOST_PIXELS = 40_000_000;
const OPAQUE = 255;

/** Return a picture ready to be shown. Raises `PageError`. */
export async function openPicture(file: Blob, name: string): Promise<Picture> {
  const bitmap = await decode(file);
  const { width, height } = bitmap;
  if (width * height > MOST_PIXELS) {
    bitmap.close();
    const size = `${width} × ${height} pixels; this page takes up to ${MOST_PIXELS / 1e6} million`;
    throw new PageError('This picture is too large', 'Scale it down first.', size);
  }
  if (file.type === 'image/jpeg' || !isTransparent(bitmap)) {
    return { name, blob: file, bitmap, width, height, wasTransparent: false };
  }
  const blob = await onWhite(bitmap);
  bitmap.close();
  return { name, blob, bitmap: await decode(blob), width, height, wasTransparent: true };
}

async function decode(file: Blob): Promise<ImageBitmap> {
  try {
    return await createImageBitmap(file);
  } catch (cause) {
    const detail = cause instanceof Error ? cause.message : String(cause);
    const kind = file.type || 'a file of unknown kind';
    throw new PageError(
      'This is not a picture that the browser reads',
      'Try a PNG, JPEG or WebP file.',
      `${kind}: ${detail}`,
    );
  }
}

function isTransparent(bitmap: ImageBitmap): boolean {
  const { data } = drawn(bitmap, null).getImageData(0, 0, bitmap.width, bitmap.height);
  for (let at = 3; at < data.length; at += 4) if (data[at] !== OPAQUE) return true;
  return false;
}

function onWhite(bitmap: ImageBitmap): Promise<Blob> {
  return drawn(bitmap, '#fff').canvas.convertToBlob({ type: 'image/png' });
}

function drawn(bitmap: ImageBitmap, background: string | null): OffscreenCanvasRenderingContext2D {
  const context = new OffscreenCanvas(bitmap.width, bitmap.height).getContext('2d');
  if (!context) throw new PageError('The browser has no memory left', 'Close other tabs and try again.', 'no canvas');
  if (background) {
    context.fillStyle = background;
    context.fillRect(0, 0, bitmap.width, bitmap.height);
  }
  context.drawImage(bitmap, 0, 0);
  return context;
}
