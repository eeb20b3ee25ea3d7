/** Segmenting everything: one run at a time, how far it is, and a way to stop it. */

import type { FoundObject, Sam, SamImage } from 'sam-export-web';

/** What a person wants of it. */
export interface EverythingWish {
  readonly pointsPerSide: number;
  /** Whether masks stay that the model is unsure of. */
  readonly unsure: boolean;
}

/** A model that was trained on boxes alone is as unsure of every answer to a point, so that no limit means anything. */
const NO_LIMITS = { predIouThreshold: 0, stabilityThreshold: 0 };

export class EverythingRun {
  /** 0..1, null while none runs. */
  done: number | null = null;
  private stops: AbortController | null = null;

  constructor(private readonly changed: () => void) {}

  /** Return the objects, the best first. Raises ABORTED after `cancel`. */
  async start(sam: Sam, image: SamImage, wish: EverythingWish): Promise<readonly FoundObject[]> {
    const { signal } = (this.stops = new AbortController());
    const { pointsPerSide, unsure } = wish;
    const limits = unsure || !sam.info.prompts.includes('point') ? NO_LIMITS : {};
    const onProgress = (done: number) => {
      if (!signal.aborted) this.progress(done);
    };
    this.progress(0);
    try {
      return await sam.everything(image, { ...limits, pointsPerSide, signal, onProgress });
    } finally {
      this.progress(null);
    }
  }

  cancel(): void {
    this.stops?.abort();
  }

  private progress(done: number | null): void {
    this.done = done;
    this.changed();
  }
}
