/** Segmenting everything: one run at a time, how far it is, and a way to stop it. */

import type { FoundObject, Sam, SamImage } from 'sam-export-web';

/** What a person wants of it. */
export interface EverythingWish {
  readonly pointsPerSide: number;
  /** Whether masks stay that the model is unsure of. */
  readonly unsure: boolean;
}

/**
 * What to keep of a model that was trained on boxes alone: it does not say well how good its answers to points are, so
 * only how stable they are counts.
 */
const UNTRAINED_LIMITS = { predIouThreshold: 0, stabilityThreshold: 0.6 };
const NO_LIMITS = { predIouThreshold: 0, stabilityThreshold: 0 };

export class EverythingRun {
  /** 0..1, null while none runs. */
  done: number | null = null;
  private stops: AbortController | null = null;

  constructor(private readonly changed: () => void) {}

  /** Return the objects, the best first. Raises ABORTED after `cancel`. */
  async start(sam: Sam, image: SamImage, wish: EverythingWish): Promise<readonly FoundObject[]> {
    const { signal } = (this.stops = new AbortController());
    const usual = sam.info.prompts.includes('point') ? {} : UNTRAINED_LIMITS;
    const { pointsPerSide, unsure } = wish;
    const onProgress = (done: number) => {
      if (!signal.aborted) this.progress(done);
    };
    this.progress(0);
    try {
      return await sam.everything(image, { ...(unsure ? NO_LIMITS : usual), pointsPerSide, signal, onProgress });
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
