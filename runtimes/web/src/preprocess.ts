/**
 * A picture becomes the encoder's `image`, and points in the picture become points in the prompt frame.
 *
 * Everything is read from `Preprocessing`. Nothing here normalises: that is inside the encoder graph.
 */

import type { HeightWidth, Preprocessing, RgbPicture } from './contract.js';
import { SamError } from './errors.js';
import { resizeBilinear } from './resize.js';

/** `tensor` [1, 3, S, S] float32 RGB 0..255, padded; `resizedHw`: the part of it that the picture covers. */
export interface PreparedImage {
  readonly tensor: Float32Array;
  readonly originalHw: HeightWidth;
  readonly resizedHw: HeightWidth;
}

/** Return the picture resized on uint8 and padded right and bottom with what normalises to zero. */
export function prepareImage(picture: RgbPicture, pre: Preprocessing): PreparedImage {
  const resizedHw = fittedHw(picture.hw, pre.image_hw, pre.fit);
  const resized = resizeBilinear(picture, resizedHw);
  const tensor = paddedPlanes(resized, pre.image_hw, paddingColour(resized, pre));
  return { tensor, originalHw: picture.hw, resizedHw };
}

/** Return the size that a picture has inside a frame; a side never becomes 0, however thin the picture. */
export function fittedHw(originalHw: HeightWidth, frameHw: HeightWidth, fit: Preprocessing['fit']): HeightWidth {
  if (fit === 'stretch') return frameHw;
  const scale = Math.min(frameHw[0] / originalHw[0], frameHw[1] / originalHw[1]);
  const side = (original: number) => Math.max(1, Math.floor(original * scale + 0.5));
  return [side(originalHw[0]), side(originalHw[1])];
}

/** Return points, x and y by turns in pixels of the picture, as float32 in pixels of the prompt frame. */
export function toPromptFrame(points: readonly number[], originalHw: HeightWidth, pre: Preprocessing): Float32Array {
  const [height, width] = fittedHw(originalHw, pre.prompt_frame_hw, pre.fit);
  const scale = [width / originalHw[1], height / originalHw[0]] as const;
  return Float32Array.from(points, (value, index) => value * scale[index % 2 === 0 ? 0 : 1]);
}

function paddedPlanes(resized: RgbPicture, frameHw: HeightWidth, padding: readonly number[]): Float32Array {
  const [height, width] = resized.hw;
  const plane = frameHw[0] * frameHw[1];
  const tensor = new Float32Array(3 * plane);
  padding.forEach((value, channel) => {
    tensor.fill(value, channel * plane, (channel + 1) * plane);
    for (let y = 0; y < height; y++) {
      const row = channel * plane + y * frameHw[1];
      for (let x = 0; x < width; x++) tensor[row + x] = resized.data[(y * width + x) * 3 + channel]!;
    }
  });
  return tensor;
}

function paddingColour(resized: RgbPicture, pre: Preprocessing): readonly number[] {
  if (pre.padding === 'minimum') {
    const least = resized.data.reduce((low, value) => Math.min(low, value), 255);
    return [least, least, least];
  }
  if (pre.normalisation.mean === null) {
    throw new SamError('BUNDLE_INVALID', "preprocessing: padding 'mean' needs a mean colour; export the bundle again");
  }
  return pre.normalisation.mean;
}
