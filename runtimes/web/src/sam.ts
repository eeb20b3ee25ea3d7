/** `Sam`: a bundle in a worker of its own, on the first device that gives the bundle's masks. */

import type { Refusal } from './devices.js';
import { SamError, throwIfAborted } from './errors.js';
import { type EverythingSettings, everythingSettings } from './everything_options.js';
import { JobQueue } from './job_queue.js';
import { type LoadOptions, load } from './load.js';
import { FoundObject } from './found_object.js';
import { type Prediction, predictionOf } from './mask.js';
import type { FileStore } from './file_store.js';
import type { Manifest, ModelCard } from './manifest.js';
import type { Device } from './ort_session.js';
import { type PictureSource, pictureMessage } from './picture_source.js';
import type { Prompt } from './prompts.js';
import type { EngineInfo, ImageHandle } from './protocol.js';
import type { SelfTestResult } from './selftest.js';
import type { WorkerClient } from './worker_client.js';

/** What was chosen, and what the engine says of itself. */
export interface SamInfo extends EngineInfo {
  readonly model: ModelCard;
  /** The kinds of prompt that the weights were trained to answer. */
  readonly prompts: Manifest['mask_rule']['prompts'];
  readonly device: Device;
  readonly adapter: string | null;
  readonly variant: string;
  readonly isolated: boolean;
  /** `passed now`, `passed earlier` in this browser, or `no encoder`: not run. */
  readonly selfTest: 'passed now' | 'passed earlier' | 'no encoder';
  /** Devices that were not taken, and why. */
  readonly refusals: readonly Refusal[];
}

export interface CallOptions {
  readonly signal?: AbortSignal | undefined;
}

export interface PredictOptions extends CallOptions {
  /** All masks of an ambiguous prompt, or the single one; the bundle's rule says which those are. */
  readonly multimask?: boolean | undefined;
}

export interface EverythingOptions extends CallOptions, Partial<EverythingSettings> {
  /** The part that is done, 0..1. */
  readonly onProgress?: ((done: number) => void) | undefined;
}

export class Sam {
  private readonly queue = new JobQueue();
  private disposed = false;

  /** Use `Sam.load`. */
  constructor(
    private readonly client: WorkerClient,
    private readonly manifest: Manifest,
    private readonly store: FileStore,
    readonly info: SamInfo,
  ) {}

  /** Return the bundle in a folder, ready; see `LoadOptions`. */
  static load(bundleUrl: string | URL, options: LoadOptions = {}): Promise<Sam> {
    return load(bundleUrl, options, (...parts) => new Sam(...parts));
  }

  /** Return a picture encoded. Its embedding stays in the worker until `dispose`. */
  async encode(picture: PictureSource, { signal }: CallOptions = {}): Promise<SamImage> {
    const message = await pictureMessage(picture);
    return this.image('encode', () => this.client.call('encode', { picture: message }), signal);
  }

  /** Return a picture that a server encoded, from the bytes of its `.semb` file. */
  async loadEmbedding(
    source: ArrayBuffer | Uint8Array | Blob | Response,
    { signal }: CallOptions = {},
  ): Promise<SamImage> {
    const bytes = source instanceof Uint8Array ? new Uint8Array(source) : new Uint8Array(await bufferOf(source));
    const transfer = [bytes.buffer];
    return this.image('loadEmbedding', () => this.client.call('loadEmbedding', { bytes }, { transfer }), signal);
  }

  /** Return the masks of everything in a picture, the best first. */
  async everything(
    image: SamImage,
    { signal, onProgress, ...given }: EverythingOptions = {},
  ): Promise<readonly FoundObject[]> {
    const settings = everythingSettings(given);
    const { id } = image.handle;
    const job = () => this.client.call('everything', { image: id, settings }, { signal, onProgress });
    const found = await this.queue.run('everything', job, signal);
    return found.map((mask) => new FoundObject(mask));
  }

  /** Return the IoU of every case of the bundle's self-test on this device. Raises SELFTEST_FAILED. */
  async selfTest({ signal }: CallOptions = {}): Promise<readonly SelfTestResult[]> {
    const { picture, cases } = this.manifest.selftest;
    const entries = [picture, ...cases.map((one) => one.mask)];
    const [first, ...masks] = await Promise.all(entries.map((entry) => this.store.file(entry, signal)));
    return this.queue.run('selfTest', () => this.client.call('selfTest', { picture: first!, masks }), signal);
  }

  /** End the worker and free all that it holds. Calls that are under way raise DISPOSED. */
  dispose(): void {
    this.disposed = true;
    this.client.terminate();
  }

  private async image(
    subject: string,
    call: () => Promise<ImageHandle>,
    signal: AbortSignal | undefined,
  ): Promise<SamImage> {
    throwIfAborted(signal, subject);
    const job = async () => {
      const handle = await call();
      // Nobody hears of a picture that was given up while it was made.
      if (signal?.aborted) await this.client.call('release', { image: handle.id });
      return handle;
    };
    return new SamImage(this.client, this.queue, await this.queue.run(subject, job, signal), () => this.disposed);
  }
}

/** An encoded picture, in the worker. */
export class SamImage {
  private released = false;

  /** Use `sam.encode` or `sam.loadEmbedding`. */
  constructor(
    private readonly client: WorkerClient,
    private readonly queue: JobQueue,
    readonly handle: ImageHandle,
    private readonly samDisposed: () => boolean,
  ) {}

  get width(): number {
    return this.handle.width;
  }

  get height(): number {
    return this.handle.height;
  }

  /** Return the masks of one prompt, in pixels of the picture. */
  predict(prompt: Prompt, { multimask = true, signal }: PredictOptions = {}): Promise<Prediction> {
    return this.queue.run('predict', () => this.answer(prompt, multimask), signal);
  }

  /**
   * Return the single mask of a prompt, or null if a newer preview of this picture came before it was begun.
   *
   * For a pointer that moves: however fast it does, at most one preview waits.
   */
  preview(prompt: Prompt, { multimask = false, signal }: PredictOptions = {}): Promise<Prediction | null> {
    return this.queue.latest('preview', this, () => this.answer(prompt, multimask), signal);
  }

  /** Free the embedding. */
  dispose(): void {
    if (this.released || this.samDisposed()) return;
    this.released = true;
    void this.queue.run('dispose', () => this.client.call('release', { image: this.handle.id })).catch(() => undefined);
  }

  private async answer(prompt: Prompt, multimask: boolean): Promise<Prediction> {
    if (this.released) throw new SamError('DISPOSED', 'picture: it was disposed of; encode it again');
    const masks = await this.client.call('predict', { image: this.handle.id, prompt, multimask });
    return predictionOf(masks, this.width, this.height);
  }
}

async function bufferOf(source: ArrayBuffer | Blob | Response): Promise<ArrayBuffer> {
  return source instanceof ArrayBuffer ? source : source.arrayBuffer();
}
