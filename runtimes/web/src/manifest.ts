/** `bundle.json`, schema 1: its types, and reading one from a stranger safely. The Python side is `manifest.py`. */

import type { ComponentName, GraphContract, HeightWidth, MaskRule, Preprocessing, TensorSpec } from './contract.js';
import { SamError } from './errors.js';
import { safePath } from './paths.js';
import type { Box, Point } from './prompts.js';
import { Reader } from './reader.js';

export const MANIFEST_NAME = 'bundle.json';
export const SCHEMA_VERSION = 1;
/** Larger ones are refused before they are parsed. */
export const MAX_MANIFEST_BYTES = 16 * 2 ** 20;
/** No encoder has a larger frame; a hostile number would take all memory. */
const MAX_SIDE = 8192;
/** No page can hold more: WebAssembly addresses 4 GiB. A server could else send for ever, as announced. */
const MAX_FILE_BYTES = 2 ** 32;
const MAX_TOKENS = 64;
const MAX_POINTS = 4096;
const PREPROCESSING_FIELDS = ['image_hw', 'prompt_frame_hw', 'fit', 'filter', 'padding', 'normalisation'];
const MASK_RULE_FIELDS = [
  ...['mask_hw', 'single_mask_token', 'multimask_tokens', 'padding_point', 'threshold', 'prompts'],
  ...['stability_fallback', 'low_res_limit', 'upsampling', 'takes_mask', 'point_slots'],
];

/** A file of the bundle: path relative to the bundle, sha256 in hex, size. */
export interface FileEntry {
  readonly path: string;
  readonly sha256: string;
  readonly bytes: number;
}

export interface GraphEntry {
  readonly contract: GraphContract;
  readonly open_path: string;
  readonly files: readonly FileEntry[];
  readonly recipe: Recipe;
}

/** What a precision was resolved to: what weights are stored as, and what the arithmetic is done in. */
export interface Recipe {
  readonly precision: string;
  readonly storage: string;
  readonly compute: string;
}

/** One set of graphs and the devices that it is for. */
export interface BundleVariant {
  readonly name: string;
  readonly devices: readonly string[];
  readonly graphs: Readonly<Record<ComponentName, GraphEntry>>;
}

/** A prompt in pixels of the self-test picture, and the mask that the verified bundle gave. */
export interface SelfTestCase {
  readonly mask: FileEntry;
  readonly multimask_output: boolean;
  readonly index: number;
  readonly box: Box | null;
  readonly point_coords: readonly Point[] | null;
  readonly point_labels: readonly number[] | null;
}

export interface SelfTest {
  readonly picture: FileEntry;
  readonly min_iou: number;
  readonly cases: readonly SelfTestCase[];
}

export interface ModelCard {
  readonly model: string;
  readonly family: string;
  readonly license: string;
  readonly source: string;
  readonly checkpoint_sha256: string;
}

export interface Manifest {
  readonly model: ModelCard;
  readonly target: string;
  readonly precision: string;
  readonly preprocessing: Preprocessing;
  readonly mask_rule: MaskRule;
  readonly variants: readonly BundleVariant[];
  readonly selftest: SelfTest;
}

/**
 * Return the manifest of a bundle; `subject` names the bundle in errors.
 *
 * Raises BUNDLE_INVALID (not a manifest, a path that leaves the bundle, a size no model has) or BUNDLE_UNSUPPORTED
 * (another schema).
 */
export function parseManifest(text: string, subject: string): Manifest {
  const reader = new Reader(parseJson(text, subject), subject, 'BUNDLE_INVALID');
  const schema = reader.field('schema').number();
  if (schema !== SCHEMA_VERSION) {
    throw new SamError(
      'BUNDLE_UNSUPPORTED',
      `${subject}: schema ${schema}, this version reads ${SCHEMA_VERSION}; export it again or update sam-export-web`,
    );
  }
  return {
    model: readModelCard(reader.field('model')),
    target: reader.field('target').string(),
    precision: reader.field('precision').string(),
    preprocessing: readPreprocessing(reader.field('preprocessing').only(PREPROCESSING_FIELDS)),
    mask_rule: readMaskRule(reader.field('mask_rule').only(MASK_RULE_FIELDS)),
    variants: reader.field('variants').list(readVariant),
    selftest: readSelfTest(reader.field('selftest')),
  };
}

function parseJson(text: string, subject: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    const found = text.trimStart().startsWith('<') ? 'a web page' : 'no JSON';
    throw new SamError('BUNDLE_INVALID', `${subject}: ${found}, allowed: a manifest; check the bundle's address`, {
      cause,
    });
  }
}

function readModelCard(reader: Reader): ModelCard {
  return {
    model: reader.field('model').string(),
    family: reader.field('family').string(),
    license: reader.field('license').string(),
    source: reader.field('source').string(),
    checkpoint_sha256: readSha256(reader.field('checkpoint_sha256')),
  };
}

function readPreprocessing(reader: Reader): Preprocessing {
  const normalisation = reader.field('normalisation');
  const mean = normalisation.field('mean');
  return {
    image_hw: readHw(reader.field('image_hw')),
    prompt_frame_hw: readHw(reader.field('prompt_frame_hw')),
    fit: reader.field('fit').oneOf(['letterbox', 'stretch']),
    filter: reader.field('filter').oneOf(['pillow_bilinear']),
    padding: reader.field('padding').oneOf(['mean', 'minimum']),
    normalisation: {
      kind: normalisation.field('kind').oneOf(['mean_std', 'min_max']),
      mean: mean.isNull ? null : (mean.tuple(3, (item) => item.number()) as [number, number, number]),
    },
  };
}

function readMaskRule(reader: Reader): MaskRule {
  const token = (item: Reader) => item.integer(0, MAX_TOKENS);
  const [fallback, limit] = [reader.field('stability_fallback'), reader.field('low_res_limit')];
  const [takesMask, slots] = [reader.field('takes_mask'), reader.field('point_slots')];
  const upsampling = reader.field('upsampling');
  return {
    mask_hw: readHw(reader.field('mask_hw')),
    single_mask_token: token(reader.field('single_mask_token')),
    multimask_tokens: reader.field('multimask_tokens').list(token),
    padding_point: reader.field('padding_point').oneOf(['without_box', 'always']),
    threshold: reader.field('threshold').number(),
    prompts: reader.field('prompts').list((item) => item.oneOf(['box', 'point', 'mask'])),
    stability_fallback: fallback.isNull
      ? null
      : { delta: fallback.field('delta').number(), threshold: fallback.field('threshold').number() },
    low_res_limit: limit.isNull ? null : limit.number(),
    upsampling: upsampling.isNull ? 'via_frame' : upsampling.oneOf(['via_frame', 'direct']),
    takes_mask: takesMask.isNull || takesMask.boolean(),
    point_slots: slots.isNull ? null : slots.integer(1, MAX_POINTS),
  };
}

function readVariant(reader: Reader): BundleVariant {
  const graphs = reader.field('graphs');
  return {
    name: reader.field('name').string(),
    devices: reader.field('devices').list((item) => item.string()),
    graphs: {
      image_encoder: readGraph(graphs.field('image_encoder')),
      mask_decoder: readGraph(graphs.field('mask_decoder')),
    },
  };
}

function readGraph(reader: Reader): GraphEntry {
  const contract = reader.field('contract');
  const recipe = reader.field('recipe');
  const files = reader.field('files').list(readFile);
  const openPath = reader.field('open_path');
  if (!files.some((file) => file.path === openPath.string())) openPath.refuse('one of the files of the graph');
  return {
    contract: {
      component: contract.field('component').oneOf(['image_encoder', 'mask_decoder']),
      inputs: contract.field('inputs').list(readTensor),
      outputs: contract.field('outputs').list(readTensor),
    },
    open_path: openPath.string(),
    files,
    recipe: {
      precision: recipe.field('precision').string(),
      storage: recipe.field('storage').string(),
      compute: recipe.field('compute').string(),
    },
  };
}

function readTensor(reader: Reader): TensorSpec {
  return {
    name: reader.field('name').string(),
    shape: reader.field('shape').list(readAxis),
    dtype: reader.field('dtype').string(),
  };
}

function readAxis(reader: Reader): number | string {
  return reader.isText ? reader.string() : reader.integer(1, 2 ** 31);
}

function readSelfTest(reader: Reader): SelfTest {
  return {
    picture: readFile(reader.field('picture')),
    min_iou: reader.field('min_iou').number(),
    cases: reader.field('cases').list(readCase),
  };
}

function readCase(reader: Reader): SelfTestCase {
  const [box, points, labels] = [reader.field('box'), reader.field('point_coords'), reader.field('point_labels')];
  const number = (item: Reader) => item.number();
  return {
    mask: readFile(reader.field('mask')),
    multimask_output: reader.field('multimask_output').boolean(),
    index: reader.field('index').integer(0, MAX_TOKENS),
    box: box.isNull ? null : (box.tuple(4, number) as unknown as Box),
    point_coords: points.isNull ? null : points.list((item) => item.tuple(2, number) as unknown as Point),
    point_labels: labels.isNull ? null : labels.list(number),
  };
}

function readFile(reader: Reader): FileEntry {
  const path = reader.field('path');
  return {
    path: safePath(path.string()) ?? path.refuse('a path inside the bundle; do not use this bundle'),
    sha256: readSha256(reader.field('sha256')),
    bytes: reader.field('bytes').integer(0, MAX_FILE_BYTES),
  };
}

function readSha256(reader: Reader): string {
  return reader.matching(/^[0-9a-f]{64}$/, '64 hexadecimal digits');
}

function readHw(reader: Reader): HeightWidth {
  return reader.tuple(2, (item) => item.integer(1, MAX_SIDE)) as unknown as HeightWidth;
}
