/** The options of segmenting everything, with upstream's defaults, checked before any work. */

import { SamError } from './errors.js';

/** What to ask, and what to keep. */
export interface EverythingSettings {
  /** Points along each side of the grid. */
  readonly pointsPerSide: number;
  /** Points in one call of the decoder. */
  readonly pointsPerBatch: number;
  /** The model's own estimate that a mask must exceed; 0 keeps all. */
  readonly predIouThreshold: number;
  /** The IoU that the masks cut `stabilityOffset` above and below the threshold must reach. */
  readonly stabilityThreshold: number;
  readonly stabilityOffset: number;
  /** The IoU of boxes above which the worse of two masks goes. */
  readonly boxNmsThreshold: number;
}

/** Source: `SamAutomaticMaskGenerator` (facebookresearch/segment-anything); small batches are fast on a processor. */
const DEFAULTS: EverythingSettings = {
  pointsPerSide: 32,
  pointsPerBatch: 4,
  predIouThreshold: 0.88,
  stabilityThreshold: 0.95,
  stabilityOffset: 1,
  boxNmsThreshold: 0.7,
};
const MAX_POINTS = 1024;

/** Return the settings with defaults filled in. Raises REQUEST_INVALID. */
export function everythingSettings(given: Partial<EverythingSettings>): EverythingSettings {
  const settings = {
    ...DEFAULTS,
    ...Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)),
  };
  for (const name of ['pointsPerSide', 'pointsPerBatch'] as const) {
    const value = settings[name];
    if (!Number.isInteger(value) || value < 1 || value > MAX_POINTS) {
      throw new SamError('REQUEST_INVALID', `${name} ${value}: give a whole number from 1 to ${MAX_POINTS}`);
    }
  }
  for (const name of ['predIouThreshold', 'stabilityThreshold', 'boxNmsThreshold'] as const) {
    checkNumber(name, settings[name], 1);
  }
  checkNumber('stabilityOffset', settings.stabilityOffset, Number.MAX_VALUE);
  return settings;
}

function checkNumber(name: string, value: number, most: number): void {
  if (!(value >= 0 && value <= most)) {
    throw new SamError('REQUEST_INVALID', `${name} ${value}: give a number from 0 to ${most}`);
  }
}
