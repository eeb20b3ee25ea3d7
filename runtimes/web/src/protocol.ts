/** What the page and the worker say to each other. */

import type { CocoRle } from './rle.js';
import type { EverythingSettings } from './everything_options.js';
import type { SamErrorCode } from './errors.js';
import type { Manifest } from './manifest.js';
import type { PictureMessage } from './pictures.js';
import type { Prompt } from './prompts.js';
import type { PredictedMask } from './segmenter.js';
import type { SelfTestResult } from './selftest.js';

/** Where onnxruntime-web finds its `.wasm` and `.mjs`: a folder, or each file. */
export type WasmPaths = string | { readonly wasm?: string; readonly mjs?: string };

export interface OpenRequest {
  readonly manifest: Manifest;
  readonly variant: string;
  readonly encoder: Blob | null;
  readonly decoder: Blob;
  readonly threads: number;
  readonly wasmPaths: WasmPaths | null;
}

/** What the engine says of itself, read back and never what was asked for. */
export interface EngineInfo {
  readonly engine: string;
  readonly version: string;
  readonly threads: number;
}

/** A picture in the worker, by number. */
export interface ImageHandle {
  readonly id: number;
  readonly height: number;
  readonly width: number;
}

/** One mask of everything: `box` is x, y of its first and of its last pixels; `area` in pixels. */
export interface FoundMask {
  readonly rle: CocoRle;
  readonly area: number;
  readonly box: readonly [x0: number, y0: number, x1: number, y1: number];
  readonly iouPrediction: number;
  readonly stabilityScore: number;
  readonly point: readonly [x: number, y: number];
}

/** What the worker does: for each method, what it takes and what it gives. */
export interface Methods {
  open: { takes: OpenRequest; gives: EngineInfo };
  selfTest: { takes: { picture: Blob; masks: readonly Blob[] }; gives: SelfTestResult[] };
  encode: { takes: { picture: PictureMessage }; gives: ImageHandle };
  loadEmbedding: { takes: { bytes: Uint8Array<ArrayBuffer> }; gives: ImageHandle };
  predict: { takes: { image: number; prompt: Prompt; multimask: boolean }; gives: PredictedMask[] };
  everything: { takes: { image: number; settings: EverythingSettings }; gives: FoundMask[] };
  release: { takes: { image: number }; gives: null };
}

export type Method = keyof Methods;

export type ToWorker =
  | { [M in Method]: { readonly id: number; readonly method: M; readonly params: Methods[M]['takes'] } }[Method]
  | { readonly abort: number };

export type FromWorker =
  | { readonly id: number; readonly value: Methods[Method]['gives'] }
  | { readonly id: number; readonly error: { readonly code: SamErrorCode; readonly message: string } }
  | { readonly id: number; readonly progress: number };
