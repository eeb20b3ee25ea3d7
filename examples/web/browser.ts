/** Everything in the browser: the picture never leaves the device. */

import { Sam } from 'sam-export-web';
import { say, segmentByBoxes } from './boxes.js';

const sam = await Sam.load('bundle/', {
  onProgress: ({ loadedBytes, totalBytes }) =>
    say(`Loading the model, ${Math.round((100 * loadedBytes) / totalBytes)} %`),
});
segmentByBoxes(sam, (picture) => sam.encode(picture));
