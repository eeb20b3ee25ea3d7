/** The public names of the package. */

export type { Colour } from './coloured_mask.js';
export type { HeightWidth } from './contract.js';
export type { DeviceChoice, Refusal } from './devices.js';
export { SamError, type SamErrorCode } from './errors.js';
export type { DownloadProgress } from './file_store.js';
export { FoundObject } from './found_object.js';
export { clearCache, type LoadOptions, type LoadStage } from './load.js';
export type { ModelCard } from './manifest.js';
export { Mask, Prediction } from './mask.js';
export type { Device } from './ort_session.js';
export type { PictureSource } from './picture_source.js';
export type { MultiPolygon, Ring } from './polygon.js';
export type { Box, Point, Prompt } from './prompts.js';
export type { WasmPaths } from './protocol.js';
export { type CocoRle, decodeRle } from './rle.js';
export { type CallOptions, type EverythingOptions, type PredictOptions, Sam, SamImage, type SamInfo } from './sam.js';
export type { SelfTestResult } from './selftest.js';
