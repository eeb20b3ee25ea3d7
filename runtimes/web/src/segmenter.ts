/**
 * The two graphs of a bundle, over any picture: the order of the steps.
 *
 * What a step does is in `preprocess`, `prompts`, `mask_choice` and `postprocess`; what runs a graph is `OrtSession`.
 */

import type { HeightWidth, RgbPicture } from './contract.js';
import type { Embedding, Feature } from './embedding_file.js';
import { SamError } from './errors.js';
import type { Manifest } from './manifest.js';
import { answeringTokens, fedBack } from './mask_choice.js';
import type { OrtModule, OrtSession, Tensor, Tensors } from './ort_session.js';
import { type MaskGeometry, maskGeometry, upsample } from './postprocess.js';
import { prepareImage } from './preprocess.js';
import { type DecoderFeeds, decoderFeeds, type Prompt } from './prompts.js';

/** Encoder outputs of one picture, by name, and how low-res masks lie over it. */
export interface EncodedPicture {
  readonly originalHw: HeightWidth;
  readonly features: Tensors;
  readonly geometry: MaskGeometry;
}

/** One answer: `mask` [H, W], 1 inside, in the picture; `lowRes` [h, w] logits, fit for a prompt's `mask`. */
export interface PredictedMask {
  readonly mask: Uint8Array<ArrayBuffer>;
  readonly lowRes: Float32Array<ArrayBuffer>;
  readonly iouPrediction: number;
}

/** What the decoder says to B prompts: `lowRes` [B, M, h, w], `iouPredictions` [B, M]. */
export interface DecoderAnswer {
  readonly tokens: number;
  readonly lowRes: Float32Array;
  readonly iouPredictions: Float32Array;
}

export interface Sessions {
  readonly image_encoder: OrtSession | null;
  readonly mask_decoder: OrtSession;
}

const PROMPT_INPUTS = ['point_coords', 'point_labels', 'mask_input', 'has_mask_input'];

export class Segmenter {
  constructor(
    private readonly ort: OrtModule,
    private readonly sessions: Sessions,
    readonly manifest: Pick<Manifest, 'model' | 'preprocessing' | 'mask_rule'>,
  ) {}

  /** Return the picture encoded. Raises NO_ENCODER. */
  async encode(picture: RgbPicture): Promise<EncodedPicture> {
    const encoder = this.sessions.image_encoder;
    if (!encoder) {
      throw new SamError('NO_ENCODER', 'encode: this Sam was loaded without its encoder; load it with encoder: true');
    }
    const { tensor } = prepareImage(picture, this.manifest.preprocessing);
    const [input] = encoder.contract.inputs;
    const feed = { [input!.name]: this.tensor(tensor, [1, 3, ...this.manifest.preprocessing.image_hw]) };
    return this.encoded(picture.hw, await encoder.run(feed));
  }

  /** Return a picture that was encoded elsewhere. Raises EMBEDDING_MISMATCH if not by this model. */
  restore(embedding: Embedding): EncodedPicture {
    const { model, checkpoint_sha256 } = this.manifest.model;
    if (embedding.checkpointSha256 !== checkpoint_sha256) {
      const made = `made by ${embedding.model} (${embedding.checkpointSha256.slice(0, 12)})`;
      const needs = `this bundle is ${model} (${checkpoint_sha256.slice(0, 12)})`;
      throw new SamError('EMBEDDING_MISMATCH', `embedding: ${made}, ${needs}; encode the picture with this model`);
    }
    const features = Object.fromEntries(embedding.features.map((feature) => [feature.name, this.restored(feature)]));
    const missing = this.sessions.mask_decoder.contract.inputs.find(
      ({ name }) => !(name in features) && !PROMPT_INPUTS.includes(name),
    );
    if (missing) {
      const message = `embedding: holds no ${missing.name}, which ${model} needs; encode the picture with this model`;
      throw new SamError('EMBEDDING_MISMATCH', message);
    }
    return this.encoded(embedding.originalHw, features);
  }

  /** Return the masks of one prompt: those of the multimask tokens, or the single one. */
  async predict(picture: EncodedPicture, prompt: Prompt, multimask: boolean): Promise<PredictedMask[]> {
    const { preprocessing, mask_rule: rule } = this.manifest;
    const answer = await this.decode(picture, decoderFeeds(prompt, picture.originalHw, preprocessing, rule));
    const cells = rule.mask_hw[0] * rule.mask_hw[1];
    return answeringTokens(answer.lowRes, answer.iouPredictions, rule, multimask).map((token) => {
      const lowRes = answer.lowRes.slice(token * cells, (token + 1) * cells);
      return {
        mask: thresholded(upsample(lowRes, picture.geometry), rule.threshold),
        lowRes: fedBack(lowRes, rule) as Float32Array<ArrayBuffer>,
        iouPrediction: answer.iouPredictions[token]!,
      };
    });
  }

  /** Return all masks of B prompts, as the decoder gives them. */
  async decode(picture: EncodedPicture, feeds: DecoderFeeds): Promise<DecoderAnswer> {
    const tensors = Object.entries(feeds.tensors).map(([name, data]) => [name, this.promptTensor(name, data, feeds)]);
    const prompts = Object.fromEntries(tensors) as Tensors;
    const outputs = await this.sessions.mask_decoder.run({ ...picture.features, ...prompts });
    const [lowRes, iouPredictions] = [finite(outputs, 'low_res_masks'), finite(outputs, 'iou_predictions')];
    return { tokens: iouPredictions.length / feeds.batch, lowRes, iouPredictions };
  }

  /** Free what a picture holds on the device. */
  release(picture: EncodedPicture): void {
    for (const tensor of Object.values(picture.features)) tensor.dispose();
  }

  private encoded(originalHw: HeightWidth, features: Tensors): EncodedPicture {
    const { preprocessing, mask_rule } = this.manifest;
    return { originalHw, features, geometry: maskGeometry(originalHw, preprocessing, mask_rule) };
  }

  private restored({ name, shape, values }: Feature): Tensor {
    const spec = this.sessions.mask_decoder.contract.inputs.find((input) => input.name === name);
    if (spec && spec.shape.join() !== shape.join()) {
      const message = `embedding: ${name} has shape [${shape.join(', ')}], the decoder takes [${spec.shape.join(', ')}]`;
      throw new SamError('EMBEDDING_MISMATCH', `${message}; encode the picture with this model`);
    }
    return this.tensor(values, shape);
  }

  private promptTensor(name: string, data: Float32Array, { batch, pointCount }: DecoderFeeds): Tensor {
    const shapes: Record<string, readonly number[]> = {
      point_coords: [batch, pointCount, 2],
      point_labels: [batch, pointCount],
      mask_input: [batch, 1, ...this.manifest.mask_rule.mask_hw],
      has_mask_input: [batch],
    };
    return this.tensor(data, shapes[name]!);
  }

  private tensor(data: Float32Array, shape: readonly number[]): Tensor {
    return new this.ort.Tensor('float32', data, shape);
  }
}

/** NaN would pass every threshold as background, unseen. */
function finite(outputs: Tensors, name: string): Float32Array {
  const data = outputs[name]?.data;
  if (!(data instanceof Float32Array)) throw new SamError('CONTRACT', `mask_decoder: gives no ${name} in float32`);
  if (!data.every(Number.isFinite)) {
    const message = `mask_decoder: ${name} holds NaN or infinity; use another device, or a bundle in fp32`;
    throw new SamError('CONTRACT', message);
  }
  return data;
}

export function thresholded(logits: Float32Array, threshold: number): Uint8Array<ArrayBuffer> {
  const mask = new Uint8Array(logits.length);
  for (let index = 0; index < logits.length; index++) if (logits[index]! > threshold) mask[index] = 1;
  return mask;
}
