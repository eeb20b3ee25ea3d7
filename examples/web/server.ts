/** Pictures are encoded by the `sam-export serve` that sent this page; boxes are answered here. */

import { Sam } from 'sam-export-web';
import { say, segmentByBoxes } from './boxes.js';

const Accept = 'application/vnd.sam-export.semb; dtype=int8';

say('Loading the decoder');
const sam = await Sam.load('v1/bundle/', { encoder: false });
segmentByBoxes(sam, async (picture) => {
  const response = await fetch('v1/embeddings', { method: 'POST', body: picture, headers: { Accept } });
  if (!response.ok) throw new Error(`The server did not take the picture: ${(await response.json()).detail}`);
  return sam.loadEmbedding(response);
});
