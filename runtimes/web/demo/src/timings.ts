/** How long everything took, as the person who sits before the page waits for it. */

import type { LoadStage } from 'sam-export-web';
import { median } from './format.js';

const KEPT_CLICKS = 50;

export class Timings {
  readonly stages = new Map<LoadStage, number>();
  totalBytes = 0;
  /** Bytes that came over the network, not from the browser's cache. */
  fetchedBytes = 0;
  encodeMs: number | null = null;
  /** Size of the embedding that a server sent; null where the browser encoded. */
  embeddingBytes: number | null = null;
  everythingMs: number | null = null;
  readonly clicks: number[] = [];
  readonly previews: number[] = [];
  private loaded = 0;
  private current: { stage: LoadStage; since: number } | null = null;

  loadBegins(): void {
    this.stages.clear();
    this.totalBytes = this.fetchedBytes = this.loaded = 0;
    this.current = null;
  }

  /** A stage that is gone through twice, for a second device, counts twice. */
  stage(stage: LoadStage): void {
    this.loadEnds();
    this.current = { stage, since: performance.now() };
  }

  loadEnds(): void {
    if (!this.current) return;
    const { stage, since } = this.current;
    this.stages.set(stage, (this.stages.get(stage) ?? 0) + performance.now() - since);
    this.current = null;
  }

  progress({ loadedBytes, totalBytes, cached }: { loadedBytes: number; totalBytes: number; cached: boolean }): void {
    const arrived = loadedBytes - this.loaded;
    this.loaded = loadedBytes;
    this.totalBytes = totalBytes;
    if (!cached) this.fetchedBytes += arrived;
  }

  /** Of another picture, or of one that is read elsewhere now, nothing is kept. */
  pictureBegins(): void {
    this.encodeMs = this.embeddingBytes = this.everythingMs = null;
    this.clicks.length = this.previews.length = 0;
  }

  encoded(ms: number, embeddingBytes: number | null): void {
    this.encodeMs = ms;
    this.embeddingBytes = embeddingBytes;
  }

  clicked(ms: number): void {
    keep(this.clicks, ms);
  }

  previewed(ms: number): void {
    keep(this.previews, ms);
  }

  get medianClickMs(): number | null {
    return this.clicks.length > 0 ? median(this.clicks) : null;
  }

  get medianPreviewMs(): number | null {
    return this.previews.length > 0 ? median(this.previews) : null;
  }
}

function keep(values: number[], value: number): void {
  values.push(value);
  if (values.length > KEPT_CLICKS) values.shift();
}
