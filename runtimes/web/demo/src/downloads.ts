/** The objects as files: over the picture, cut out of it, and as COCO annotations. */

import { decodeRle } from 'sam-export-web';
import type { Answer, Answers } from './answers.js';
import { cocoDocument } from './coco.js';
import { colourOf, css } from './palette.js';
import type { Picture } from './picture.js';
import type { Scene } from './scene.js';
import { outlinePath } from './stage.js';
import { PageError } from './words.js';

interface Shown {
  readonly id: number;
  readonly name: string;
  readonly answer: Answer;
  readonly points: readonly (readonly [number, number])[];
}

/** Return the objects that are shown and answered. */
export function shownObjects({ objects }: Scene, answers: Answers): Shown[] {
  return objects.flatMap(({ id, name, visible, prompt }) => {
    const answer = visible ? answers.get(prompt) : null;
    return answer ? [{ id, name, answer, points: prompt.points }] : [];
  });
}

/** Save the picture with the masks in their colours over it. */
export async function saveOverlay(picture: Picture, objects: readonly Shown[]): Promise<void> {
  const context = canvasOf(picture);
  context.drawImage(picture.bitmap, 0, 0);
  const line = Math.max(1, Math.round(Math.max(picture.width, picture.height) / 500));
  for (const { id, answer } of [...objects].sort((one, other) => other.answer.area - one.answer.area)) {
    const path = outlinePath(answer);
    context.fillStyle = css(colourOf(id), 0.45);
    context.fill(path, 'evenodd');
    context.strokeStyle = css(colourOf(id));
    context.lineWidth = line;
    context.stroke(path);
  }
  save(await png(context), `${stem(picture.name)}-masks.png`);
}

/** Save what is inside the masks, transparent around it, pixel by pixel as the model said. */
export async function saveCutout(picture: Picture, objects: readonly Shown[]): Promise<void> {
  const context = canvasOf(picture);
  context.drawImage(picture.bitmap, 0, 0);
  const pixels = context.getImageData(0, 0, picture.width, picture.height);
  const kept = new Uint8Array(picture.width * picture.height);
  for (const { answer } of objects)
    decodeRle(answer.rle).forEach((value, index) => {
      kept[index]! |= value;
    });
  kept.forEach((value, index) => {
    if (value === 0) pixels.data[index * 4 + 3] = 0;
  });
  context.putImageData(pixels, 0, 0);
  save(await png(context), `${stem(picture.name)}-cutout.png`);
}

export function saveCoco(picture: Picture, objects: readonly Shown[]): void {
  const text = JSON.stringify(cocoDocument(picture, objects));
  save(new Blob([text], { type: 'application/json' }), `${stem(picture.name)}-coco.json`);
}

function canvasOf({ width, height }: Picture): OffscreenCanvasRenderingContext2D {
  const context = new OffscreenCanvas(width, height).getContext('2d');
  if (!context) throw new PageError('The browser has no memory left', 'Close other tabs and try again.', 'no canvas');
  return context;
}

function png(context: OffscreenCanvasRenderingContext2D): Promise<Blob> {
  return context.canvas.convertToBlob({ type: 'image/png' });
}

function stem(name: string): string {
  return name.replace(/\.[^.]*$/, '') || 'picture';
}

function save(file: Blob, name: string): void {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(file);
  link.download = name;
  link.click();
  setTimeout(() => {
    URL.revokeObjectURL(link.href);
  }, 10_000);
}
