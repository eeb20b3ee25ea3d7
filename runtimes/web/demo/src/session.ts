/**
 * The model and the picture: loading the one, opening the other, and encoding as soon as both are there.
 *
 * Each activity that a newer one replaces is aborted, and what it still gives is dropped.
 */

import { clearCache, type LoadStage, Sam, type SamImage } from 'sam-export-web';
import { discover, type PageOptions, readOptions, type Where } from './page_options.js';
import { openPicture, type Picture } from './picture.js';
import { embeddingFromServer } from './server.js';
import { Timings } from './timings.js';
import { isAborted, type Words, wordsFor } from './words.js';

export type ModelState =
  | { readonly kind: 'loading'; readonly stage: LoadStage; readonly loadedBytes: number; readonly totalBytes: number }
  | { readonly kind: 'ready'; readonly sam: Sam }
  | { readonly kind: 'failed'; readonly words: Words };

export type EncodingState =
  | { readonly kind: 'none' }
  | { readonly kind: 'waiting' }
  | { readonly kind: 'encoding' }
  | { readonly kind: 'ready'; readonly image: SamImage }
  | { readonly kind: 'failed'; readonly words: Words };

const LOADING: ModelState = { kind: 'loading', stage: 'manifest', loadedBytes: 0, totalBytes: 0 };

export class Session {
  model: ModelState = LOADING;
  picture: Picture | null = null;
  encoding: EncodingState = { kind: 'none' };
  /** What was wrong with the last picture that was given; null if nothing. */
  refusedPicture: Words | null = null;
  options: PageOptions;
  where: Where;
  /** Whether it is known where the bundle lies, and with it where pictures are read. */
  discovered = false;
  readonly timings = new Timings();
  private loads = new AbortController();
  private encodes = new AbortController();
  private opening = 0;

  constructor(
    private readonly page: URL,
    private readonly changed: () => void,
  ) {
    this.options = readOptions(page);
    this.where = this.options.where;
  }

  get image(): SamImage | null {
    return this.encoding.kind === 'ready' ? this.encoding.image : null;
  }

  /** Look for the bundle, and load it. */
  async start(): Promise<void> {
    this.options = await discover(this.page);
    this.where = this.options.where;
    this.discovered = true;
    await this.load();
  }

  /** Load the model, again if it was; the picture is encoded anew then. */
  async load(): Promise<void> {
    this.stop();
    const { signal } = (this.loads = new AbortController());
    this.model = LOADING;
    this.timings.loadBegins();
    this.timings.pictureBegins();
    this.changed();
    try {
      const sam = await Sam.load(this.options.bundle, { ...this.loadOptions(signal), signal });
      this.model = { kind: 'ready', sam };
      this.timings.loadEnds();
    } catch (thrown) {
      if (signal.aborted) return;
      this.model = { kind: 'failed', words: wordsFor(thrown) };
    }
    this.changed();
    await this.encode();
  }

  /** Load again with nothing of what the browser has kept. */
  async loadAfresh(): Promise<void> {
    await clearCache();
    await this.load();
  }

  async encodeOn(where: Where): Promise<void> {
    if (this.where === where) return;
    this.where = where;
    await this.load();
  }

  /** Show a picture, and encode it. What cannot be opened leaves the present one as it is. */
  async open(file: Blob, name: string): Promise<boolean> {
    const turn = ++this.opening;
    this.refusedPicture = null;
    try {
      const picture = await openPicture(file, name);
      if (turn !== this.opening) return false;
      this.close();
      this.picture = picture;
    } catch (thrown) {
      this.refusedPicture = wordsFor(thrown);
      this.changed();
      return false;
    }
    this.changed();
    void this.encode();
    return true;
  }

  /** Go back to no picture. */
  close(): void {
    this.releaseImage();
    this.picture?.bitmap.close();
    this.picture = null;
    this.encoding = { kind: 'none' };
    this.changed();
  }

  /** Encode the picture if there is one and the model is ready. */
  async encode(): Promise<void> {
    if (!this.picture) return;
    this.releaseImage();
    this.timings.pictureBegins();
    this.encoding = { kind: 'waiting' };
    if (this.model.kind !== 'ready') {
      this.changed();
      return;
    }
    const { signal } = (this.encodes = new AbortController());
    this.encoding = { kind: 'encoding' };
    this.changed();
    try {
      const image = await this.encoded(this.model.sam, this.picture, signal);
      if (signal.aborted) image.dispose();
      else this.encoding = { kind: 'ready', image };
    } catch (thrown) {
      if (signal.aborted || isAborted(thrown)) return;
      this.encoding = { kind: 'failed', words: wordsFor(thrown) };
    }
    this.changed();
  }

  private async encoded(sam: Sam, picture: Picture, signal: AbortSignal): Promise<SamImage> {
    const begun = performance.now();
    if (this.where === 'browser' || !this.options.server) {
      const image = await sam.encode(picture.blob, { signal });
      this.timings.encoded(performance.now() - begun, null);
      return image;
    }
    const bytes = await embeddingFromServer(this.options.server, picture.blob, signal);
    const size = bytes.length;
    const image = await sam.loadEmbedding(bytes, { signal });
    this.timings.encoded(performance.now() - begun, size);
    return image;
  }

  private loadOptions(signal: AbortSignal) {
    const { device, variant, threads } = this.options;
    const update = (change: Partial<Extract<ModelState, { kind: 'loading' }>>) => {
      if (signal.aborted || this.model.kind !== 'loading') return;
      this.model = { ...this.model, ...change };
      this.changed();
    };
    return {
      ...{ device, variant, threads, encoder: this.where === 'browser' },
      onStage: (stage: LoadStage) => {
        this.timings.stage(stage);
        update({ stage });
      },
      onProgress: (progress: { loadedBytes: number; totalBytes: number; cached: boolean }) => {
        this.timings.progress(progress);
        update({ loadedBytes: progress.loadedBytes, totalBytes: progress.totalBytes });
      },
    };
  }

  private stop(): void {
    this.loads.abort();
    this.encodes.abort();
    if (this.model.kind === 'ready') this.model.sam.dispose();
    if (this.picture) this.encoding = { kind: 'waiting' };
  }

  private releaseImage(): void {
    this.encodes.abort();
    this.image?.dispose();
  }
}
