/** A picture is chosen, a box is dragged over it, the mask appears: the same for both pages. */

import type { Sam, SamImage } from 'sam-export-web';

type Encode = (picture: File) => Promise<SamImage>;

const file = document.querySelector<HTMLInputElement>('#file')!;
const picture = document.querySelector<HTMLCanvasElement>('#picture')!;
const mask = document.querySelector<HTMLCanvasElement>('#mask')!;

export function say(text: string): void {
  document.querySelector('#status')!.textContent = text;
}

export function segmentByBoxes(sam: Sam, encode: Encode): void {
  let image: SamImage | null = null;
  let corner: [number, number] = [0, 0];
  file.disabled = false;
  say(`${sam.info.model.model} on ${sam.info.device}: choose a picture`);

  file.onchange = () =>
    told(async () => {
      image?.dispose(); // frees the earlier picture's embedding
      image = null;
      const chosen = file.files![0]!;
      await show(chosen);
      say('Reading the picture');
      image = await encode(chosen);
      say('Drag a box');
    });

  mask.onpointerdown = (event) => {
    mask.setPointerCapture(event.pointerId);
    corner = place(event);
  };
  mask.onpointerup = (event) =>
    told(async () => {
      const [x, y] = place(event);
      const box = [
        Math.min(x, corner[0]),
        Math.min(y, corner[1]),
        Math.max(x, corner[0]),
        Math.max(y, corner[1]),
      ] as const;
      if (!image || box[0] === box[2] || box[1] === box[3]) return;
      const { best } = await image.predict({ box }); // in pixels of the picture
      mask.getContext('2d')!.putImageData(best.toImageData(), 0, 0);
      say(`${best.area} pixels, predicted IoU ${best.iouPrediction.toFixed(2)}`);
    });
}

/** Draw the picture, and make both canvases as large as it is. */
async function show(chosen: File): Promise<void> {
  const bitmap = await createImageBitmap(chosen);
  for (const canvas of [picture, mask]) Object.assign(canvas, { width: bitmap.width, height: bitmap.height });
  picture.getContext('2d')!.drawImage(bitmap, 0, 0);
}

/** Return a place of the window in pixels of the picture. */
function place({ clientX, clientY }: PointerEvent): [number, number] {
  const { left, top, width, height } = mask.getBoundingClientRect();
  const inside = (part: number) => Math.min(Math.max(part, 0), 1);
  return [inside((clientX - left) / width) * mask.width, inside((clientY - top) / height) * mask.height];
}

/** Every error of the package is a sentence that says what to do. */
function told(work: () => Promise<void>): void {
  work().catch((error: unknown) => say(error instanceof Error ? error.message : String(error)));
}
