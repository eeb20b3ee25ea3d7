/** From the address of a bundle to a worker that gives its masks: files, devices in order, the self-test. */

import { type Adapter, type Attempt, type DeviceChoice, planAttempts, probeAdapter, type Refusal } from './devices.js';
import { SamError, type SamErrorCode, throwIfAborted } from './errors.js';
import { bodyUpTo, type DownloadProgress, FileStore, fetchOk } from './file_store.js';
import { MANIFEST_NAME, type Manifest, MAX_MANIFEST_BYTES, parseManifest } from './manifest.js';
import type { Device } from './ort_session.js';
import { fileUrl, folderUrl } from './paths.js';
import type { EngineInfo, WasmPaths } from './protocol.js';
import type { SamInfo } from './sam.js';
import { hasPassed, rememberPassed, verdictKey } from './verdicts.js';
import { WorkerClient } from './worker_client.js';

export interface LoadOptions {
  /** `auto` takes the first that gives the bundle's masks: WebGPU on real graphics hardware, then WebAssembly. */
  readonly device?: DeviceChoice | undefined;
  /** By name, where the bundle has several; otherwise the first that fits the device. */
  readonly variant?: string | undefined;
  /** false: only the decoder is downloaded, for pictures that a server encodes. */
  readonly encoder?: boolean | undefined;
  /** `once`: a device that has passed in this browser is trusted on later visits; `always`: it runs every time. */
  readonly selfTest?: 'once' | 'always' | undefined;
  /** For WebAssembly; more than 1 needs a page that is cross-origin isolated. Default: up to 4 there, otherwise 1. */
  readonly threads?: number | undefined;
  /** Where the `.wasm` and `.mjs` of onnxruntime-web are served, if not where its bundler puts them. */
  readonly wasmPaths?: WasmPaths | undefined;
  /** Makes the worker of a device, for bundlers that need to see `new Worker` in the page's own code. */
  readonly worker?: ((device: Device) => Worker) | undefined;
  /** false: files are kept in no cache. */
  readonly cache?: boolean | undefined;
  readonly onProgress?: ((progress: DownloadProgress) => void) | undefined;
  readonly onStage?: ((stage: LoadStage) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** What loading is at. Every device that is tried goes through the last three; a file is downloaded once. */
export type LoadStage = 'manifest' | 'files' | 'engine' | 'self-test';

type Make<T> = (client: WorkerClient, manifest: Manifest, store: FileStore, info: SamInfo) => T;

const CACHE_NAME = 'sam-export';
const MOST_THREADS = 4;
/** What another device may do better; anything else would fail there, too. */
const OF_THE_DEVICE: readonly SamErrorCode[] = [
  ...(['ENGINE_FAILED', 'WASM_NOT_FOUND', 'CONTRACT', 'SELFTEST_FAILED', 'OUT_OF_MEMORY', 'WORKER_FAILED'] as const),
];

export async function load<T>(bundleUrl: string | URL, options: LoadOptions, make: Make<T>): Promise<T> {
  const threads = threadCount(options.threads);
  const folder = folderUrl(bundleUrl, globalThis.location?.href ?? 'http://localhost/');
  const cache = options.cache === false ? null : await openCache();
  options.onStage?.('manifest');
  const manifest = await fetchManifest(folder, cache, options.signal);
  const adapter = options.device === 'wasm' ? null : await probeAdapter();
  const { device = 'auto', variant, encoder = true, onProgress } = options;
  const plan = planAttempts(manifest, { device, variant, encoder }, adapter);
  const context: Context = {
    manifest,
    options,
    threads,
    cache,
    adapter,
    store: new FileStore(folder, { cache, onProgress }),
  };
  const refusals: Refusal[] = [...plan.refusals];
  for (const attempt of plan.attempts) {
    const opened = await tryDevice(attempt, context);
    if (!(opened instanceof SamError)) {
      return make(opened.client, manifest, context.store, infoOf(context, attempt, opened, refusals));
    }
    if (plan.attempts.length === 1 && refusals.length === 0) throw opened;
    refusals.push({ device: attempt.device, variant: attempt.variant.name, reason: opened.message });
  }
  const reasons = refusals.map((one) => `${one.device} with ${one.variant}: ${one.reason}`).join('; ');
  throw new SamError('DEVICE_UNAVAILABLE', `${folder.href}: no device of this browser can run it (${reasons})`);
}

/** Forget all files and verdicts that this origin has kept. */
export async function clearCache(): Promise<void> {
  await globalThis.caches?.delete(CACHE_NAME);
}

interface Context {
  readonly manifest: Manifest;
  readonly options: LoadOptions;
  readonly threads: number;
  readonly cache: Cache | null;
  readonly adapter: Adapter | null;
  readonly store: FileStore;
}

interface Opened {
  readonly client: WorkerClient;
  readonly engine: EngineInfo;
  readonly selfTest: SamInfo['selfTest'];
}

/** Return a worker that passed, or what is wrong with the device. Raises what no other device would do better. */
async function tryDevice(attempt: Attempt, context: Context): Promise<Opened | SamError> {
  const { signal } = context.options;
  throwIfAborted(signal, 'load');
  const client = new WorkerClient((context.options.worker ?? startWorker)(attempt.device));
  const stop = () => {
    client.terminate();
  };
  signal?.addEventListener('abort', stop);
  try {
    const engine = await openGraphs(client, attempt, context);
    return { client, engine, selfTest: await proven(client, attempt, engine, context) };
  } catch (thrown) {
    client.terminate();
    throwIfAborted(signal, 'load');
    if (thrown instanceof SamError && OF_THE_DEVICE.includes(thrown.code)) return thrown;
    throw thrown;
  } finally {
    signal?.removeEventListener('abort', stop);
  }
}

/** The files stay blobs, so a second worker reads them again without a second download. */
async function openGraphs(client: WorkerClient, { variant }: Attempt, context: Context): Promise<EngineInfo> {
  const { manifest, store, threads, options } = context;
  const { image_encoder, mask_decoder } = variant.graphs;
  options.onStage?.('files');
  const graph = ({ files, open_path }: typeof mask_decoder) =>
    store.file(
      files.find((file) => file.path === open_path)!,
      options.signal,
    );
  const [encoder, decoder] = await Promise.all([
    options.encoder === false ? null : graph(image_encoder),
    graph(mask_decoder),
  ]);
  const wasmPaths = absolutePaths(options.wasmPaths);
  options.onStage?.('engine');
  return client.call('open', { manifest, variant: variant.name, encoder, decoder, threads, wasmPaths });
}

async function proven(
  client: WorkerClient,
  attempt: Attempt,
  engine: EngineInfo,
  { manifest, options, cache, adapter, store }: Context,
): Promise<SamInfo['selfTest']> {
  if (options.encoder === false) return 'no encoder';
  const key = await verdictKey(manifest, attempt, engine, adapter);
  if (options.selfTest !== 'always' && (await hasPassed(cache, key))) return 'passed earlier';
  options.onStage?.('self-test');
  const { picture, cases } = manifest.selftest;
  const [first, ...masks] = await Promise.all(
    [picture, ...cases.map((one) => one.mask)].map((file) => store.file(file, options.signal)),
  );
  await client.call('selfTest', { picture: first!, masks });
  await rememberPassed(cache, key);
  return 'passed now';
}

function infoOf({ manifest, adapter }: Context, attempt: Attempt, opened: Opened, refusals: Refusal[]): SamInfo {
  return {
    ...opened.engine,
    model: manifest.model,
    prompts: manifest.mask_rule.prompts,
    device: attempt.device,
    adapter: attempt.device === 'webgpu' ? (adapter?.name ?? null) : null,
    variant: attempt.variant.name,
    isolated: globalThis.crossOriginIsolated,
    selfTest: opened.selfTest,
    refusals,
  };
}

/** The manifest comes from the network, so that a new bundle is seen; offline, from the last visit. */
async function fetchManifest(folder: URL, cache: Cache | null, signal: AbortSignal | undefined): Promise<Manifest> {
  const url = fileUrl(folder, MANIFEST_NAME);
  throwIfAborted(signal, url.href);
  const response = await fetchOk(url, { cache: 'no-cache', signal: signal ?? null }).catch(async (thrown: unknown) => {
    const kept = !navigator.onLine ? await cache?.match(url) : undefined;
    if (kept) return kept;
    throw thrown;
  });
  const blob = await bodyUpTo(response, MAX_MANIFEST_BYTES, signal);
  if (blob.size > MAX_MANIFEST_BYTES) {
    throw new SamError('BUNDLE_INVALID', `${url.href}: larger than ${MAX_MANIFEST_BYTES} bytes; not a bundle of ours`);
  }
  const manifest = parseManifest(await blob.text(), url.href);
  await cache?.put(url, new Response(blob)).catch(() => undefined);
  return manifest;
}

function threadCount(asked: number | undefined): number {
  const isolated = globalThis.crossOriginIsolated;
  if (asked === undefined) return isolated ? Math.min(MOST_THREADS, navigator.hardwareConcurrency || 1) : 1;
  if (!Number.isInteger(asked) || asked < 1) {
    throw new SamError('REQUEST_INVALID', `threads ${asked}: give a whole number of at least 1`);
  }
  if (asked > 1 && !isolated) {
    const headers = 'Cross-Origin-Opener-Policy: same-origin and Cross-Origin-Embedder-Policy: require-corp';
    const message = `threads ${asked}: the page is not cross-origin isolated; serve it with ${headers}, or leave threads out`;
    throw new SamError('THREADS_NEED_ISOLATION', message);
  }
  return asked;
}

/** null where the browser has no cache for this page, or forbids it. */
async function openCache(): Promise<Cache | null> {
  try {
    return (await globalThis.caches?.open(CACHE_NAME)) ?? null;
  } catch {
    return null;
  }
}

/** The worker has an address of its own, so what the page means is resolved here. */
function absolutePaths(paths: WasmPaths | undefined): WasmPaths | null {
  if (paths === undefined) return null;
  const absolute = (path: string) => new URL(path, globalThis.location?.href).href;
  if (typeof paths === 'string') return absolute(paths);
  return Object.fromEntries(Object.entries(paths).map(([kind, path]) => [kind, absolute(path)]));
}

function startWorker(device: Device): Worker {
  return device === 'webgpu'
    ? new Worker(new URL('./webgpu-worker.js', import.meta.url), { type: 'module' })
    : new Worker(new URL('./wasm-worker.js', import.meta.url), { type: 'module' });
}
