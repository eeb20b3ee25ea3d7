/**
 * What `bundle.json` says of a model, in its own spelling, because these names are data that several languages read.
 * Sizes are [height, width]. Nothing here is a constant of a model.
 */

export type HeightWidth = readonly [height: number, width: number];
export type ComponentName = 'image_encoder' | 'mask_decoder';
export type Kind = 'box' | 'point' | 'mask';

/** What a point means to the mask decoder. A box is two points: top-left, then bottom-right. */
export const PointLabel = {
  PADDING: -1,
  BACKGROUND: 0,
  FOREGROUND: 1,
  BOX_TOP_LEFT: 2,
  BOX_BOTTOM_RIGHT: 3,
} as const;

/** One input or output. A `shape` entry is a size, or the name of a dynamic axis ("B", "N"). */
export interface TensorSpec {
  readonly name: string;
  readonly shape: readonly (number | string)[];
  readonly dtype: string;
}

export interface GraphContract {
  readonly component: ComponentName;
  readonly inputs: readonly TensorSpec[];
  readonly outputs: readonly TensorSpec[];
}

/** How the encoder graph normalises. A runtime never does it; it only pads to suit. */
export interface Normalisation {
  readonly kind: 'mean_std' | 'min_max';
  readonly mean: readonly [number, number, number] | null;
}

/** How a picture becomes the encoder's `image`, and in which frame prompts are given. */
export interface Preprocessing {
  readonly image_hw: HeightWidth;
  readonly prompt_frame_hw: HeightWidth;
  readonly fit: 'letterbox' | 'stretch';
  readonly filter: 'pillow_bilinear';
  readonly padding: 'mean' | 'minimum';
  readonly normalisation: Normalisation;
}

/**
 * When another mask answers in the single one's place: of the low-res logits above -`delta`, those that are above
 * `delta` are a smaller part than `threshold`. Then it is the multimask token with the highest predicted IoU.
 */
export interface StabilityFallback {
  readonly delta: number;
  readonly threshold: number;
}

/** Which masks answer a prompt, and how low-res logits become masks in the caller's picture. */
export interface MaskRule {
  readonly mask_hw: HeightWidth;
  readonly single_mask_token: number;
  readonly multimask_tokens: readonly number[];
  readonly padding_point: 'without_box' | 'always';
  readonly threshold: number;
  readonly prompts: readonly Kind[];
  /** `null` where the single mask's token always answers. */
  readonly stability_fallback: StabilityFallback | null;
  /** Low-res logits that a caller gets, to feed back, are clipped to plus and minus this. */
  readonly low_res_limit: number | null;
  /** `direct` leaves the prompt frame out between the low-res mask and the picture. */
  readonly upsampling: 'via_frame' | 'direct';
  /** Whether the decoder has `mask_input` at all. */
  readonly takes_mask: boolean;
  /** How many points the decoder always gets, box corners included; shorter prompts are filled up with padding. */
  readonly point_slots: number | null;
}

/** A picture as pixels: uint8 [height, width, 3] RGB, rows first. */
export interface RgbPicture {
  readonly data: Uint8Array;
  readonly hw: HeightWidth;
}
