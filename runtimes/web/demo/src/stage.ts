/** Draws the picture, the masks, the prompts and the cursor. */

import type { Box, Point } from 'sam-export-web';
import type { Answer } from './answers.js';
import { colourOf, css } from './palette.js';
import type { Picture } from './picture.js';
import type { ObjectPrompt } from './scene.js';
import { fit, type Size, toStage, type View } from './view.js';

export interface DrawnObject {
  readonly id: number;
  readonly answer: Answer | null;
  readonly prompt: ObjectPrompt;
  readonly selected: boolean;
}

export interface Frame {
  readonly picture: Picture | null;
  readonly objects: readonly DrawnObject[];
  /** The object that a list's pointer is on. */
  readonly highlighted: number | null;
  readonly preview: Answer | null;
  /** The number of the object that the preview would be. */
  readonly previewId: number;
  readonly draggedBox: Box | null;
  /** The keyboard's place in the picture, and the first corner of its box. */
  readonly cursor: Point | null;
  readonly corner: Point | null;
}

const TAU = 2 * Math.PI;
const PREVIEW_DASH = [5, 4];

export class Stage {
  view: View | null = null;
  private shown: { picture: Picture; width: number; height: number } | null = null;
  private readonly paths = new WeakMap<Answer, Path2D>();
  private readonly under: CanvasRenderingContext2D;
  private readonly over: CanvasRenderingContext2D;

  constructor(
    private readonly area: HTMLElement,
    private readonly pictureCanvas: HTMLCanvasElement,
    private readonly overlayCanvas: HTMLCanvasElement,
  ) {
    this.under = pictureCanvas.getContext('2d')!;
    this.over = overlayCanvas.getContext('2d')!;
  }

  draw(frame: Frame): void {
    const { picture } = frame;
    this.pictureCanvas.hidden = this.overlayCanvas.hidden = picture === null;
    if (!picture) {
      this.shown = this.view = null;
      return;
    }
    const size = { width: this.area.clientWidth, height: this.area.clientHeight };
    this.view = fit(picture, size);
    this.drawPicture(picture, this.view);
    this.drawOverlay(frame, this.view, size);
  }

  private drawPicture(picture: Picture, view: View): void {
    const [width, height] = [picture.width * view.scale, picture.height * view.scale];
    const drawn = this.shown;
    if (drawn?.picture === picture && drawn.width === width && drawn.height === height) return;
    this.shown = { picture, width, height };
    sized(this.pictureCanvas, { width, height });
    Object.assign(this.pictureCanvas.style, { left: `${view.left}px`, top: `${view.top}px` });
    this.under.imageSmoothingQuality = 'high';
    this.under.drawImage(picture.bitmap, 0, 0, this.pictureCanvas.width, this.pictureCanvas.height);
  }

  private drawOverlay(frame: Frame, view: View, size: Size): void {
    sized(this.overlayCanvas, size);
    const ratio = this.overlayCanvas.width / size.width;
    this.over.setTransform(ratio, 0, 0, ratio, 0, 0);
    this.over.clearRect(0, 0, size.width, size.height);
    // Smaller masks lie over larger ones, the selected one over all.
    const order = (one: DrawnObject) => (one.selected ? -1 : (one.answer?.area ?? 0));
    for (const object of [...frame.objects].sort((one, other) => order(other) - order(one))) {
      this.drawMask(object, view, object.id === frame.highlighted);
    }
    if (frame.preview) this.drawPreview(frame.preview, view, frame.previewId);
    for (const object of frame.objects) if (object.selected || !object.answer) this.drawPrompt(object, view);
    if (frame.draggedBox) this.drawBox(frame.draggedBox, view, colourOf(frame.previewId), false);
    if (frame.cursor) this.drawCursor(frame.cursor, frame.corner, view);
  }

  private drawMask({ id, answer, selected }: DrawnObject, view: View, highlighted: boolean): void {
    if (!answer) return;
    const colour = colourOf(id);
    this.inPicture(view, () => {
      const path = this.path(answer);
      this.over.fillStyle = css(colour, highlighted ? 0.6 : selected ? 0.42 : 0.34);
      this.over.fill(path, 'evenodd');
      if (selected || highlighted) this.strokePath(path, 'rgb(255 255 255 / 0.9)', 4.5 / view.scale);
      this.strokePath(path, css(colour), (selected || highlighted ? 2.25 : 1.75) / view.scale);
    });
  }

  private drawPreview(answer: Answer, view: View, id: number): void {
    this.inPicture(view, () => {
      const path = this.path(answer);
      this.over.fillStyle = css(colourOf(id), 0.22);
      this.over.fill(path, 'evenodd');
      this.strokePath(path, 'rgb(0 0 0 / 0.35)', 3 / view.scale);
      this.over.setLineDash(PREVIEW_DASH.map((length) => length / view.scale));
      this.strokePath(path, 'rgb(255 255 255)', 1.75 / view.scale);
      this.over.setLineDash([]);
    });
  }

  private drawPrompt({ id, prompt, selected }: DrawnObject, view: View): void {
    if (prompt.box) this.drawBox(prompt.box, view, colourOf(id), selected);
    prompt.points.forEach((point, index) => {
      this.drawPoint(toStage(view, point), prompt.labels[index] === 1, css(colourOf(id)));
    });
  }

  /** A filled disc with a plus for what belongs to the object, a white one with a minus for what does not. */
  private drawPoint([x, y]: Point, belongs: boolean, colour: string): void {
    const { over } = this;
    over.beginPath();
    over.arc(x, y, 7.5, 0, TAU);
    over.shadowColor = 'rgb(0 0 0 / 0.4)';
    over.shadowBlur = 4;
    over.fillStyle = belongs ? colour : '#fff';
    over.fill();
    over.shadowColor = 'transparent';
    over.lineWidth = 2;
    over.strokeStyle = belongs ? '#fff' : '#c81e1e';
    over.stroke();
    over.beginPath();
    over.moveTo(x - 3.5, y);
    over.lineTo(x + 3.5, y);
    if (belongs) {
      over.moveTo(x, y - 3.5);
      over.lineTo(x, y + 3.5);
    }
    over.stroke();
  }

  private drawBox([x0, y0, x1, y1]: Box, view: View, colour: ReturnType<typeof colourOf>, handles: boolean): void {
    const [left, top] = toStage(view, [x0, y0]);
    const [right, bottom] = toStage(view, [x1, y1]);
    const { over } = this;
    over.lineWidth = 3.5;
    over.strokeStyle = 'rgb(0 0 0 / 0.35)';
    over.strokeRect(left, top, right - left, bottom - top);
    over.lineWidth = 1.75;
    over.strokeStyle = '#fff';
    over.strokeRect(left, top, right - left, bottom - top);
    if (!handles) return;
    over.fillStyle = '#fff';
    over.strokeStyle = css(colour);
    for (const [x, y] of [
      [left, top],
      [right, top],
      [left, bottom],
      [right, bottom],
    ] as const) {
      over.beginPath();
      over.arc(x, y, 5, 0, TAU);
      over.fill();
      over.stroke();
    }
  }

  private drawCursor(cursor: Point, corner: Point | null, view: View): void {
    const [x, y] = toStage(view, cursor);
    for (const [colour, width] of [
      ['rgb(0 0 0 / 0.65)', 4],
      ['#fff', 1.75],
    ] as const) {
      this.over.strokeStyle = colour;
      this.over.lineWidth = width;
      this.over.beginPath();
      for (const [dx, dy] of [
        [1, 0],
        [-1, 0],
        [0, 1],
        [0, -1],
      ] as const) {
        this.over.moveTo(x + dx * 5, y + dy * 5);
        this.over.lineTo(x + dx * 15, y + dy * 15);
      }
      this.over.stroke();
    }
    if (corner) this.drawPoint(toStage(view, corner), true, '#111');
  }

  private inPicture(view: View, draw: () => void): void {
    this.over.save();
    this.over.translate(view.left, view.top);
    this.over.scale(view.scale, view.scale);
    draw();
    this.over.restore();
  }

  private strokePath(path: Path2D, colour: string, width: number): void {
    this.over.lineJoin = 'round';
    this.over.lineWidth = width;
    this.over.strokeStyle = colour;
    this.over.stroke(path);
  }

  private path(answer: Answer): Path2D {
    let path = this.paths.get(answer);
    if (!path) {
      path = outlinePath(answer);
      this.paths.set(answer, path);
    }
    return path;
  }
}

/** Return the outlines in pixels of the picture; fill them by the even-odd rule. */
export function outlinePath({ outline }: Answer): Path2D {
  const path = new Path2D();
  for (const ring of outline.flat()) {
    // Rings are closed by their first point. Curves from middle to middle of their edges hide the steps of the pixels.
    const corners = ring.slice(1);
    corners.forEach(([x, y], index) => {
      const [nextX, nextY] = corners[(index + 1) % corners.length]!;
      if (index === 0) path.moveTo(...middle(corners.at(-1)!, [x, y]));
      path.quadraticCurveTo(x, y, (x + nextX) / 2, (y + nextY) / 2);
    });
    path.closePath();
  }
  return path;
}

function middle([x0, y0]: Point, [x1, y1]: Point): [number, number] {
  return [(x0 + x1) / 2, (y0 + y1) / 2];
}

/** Give a canvas the pixels that the screen has for its size. */
function sized(canvas: HTMLCanvasElement, { width, height }: Size): void {
  const ratio = globalThis.devicePixelRatio || 1;
  const [across, down] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== across) canvas.width = across;
  if (canvas.height !== down) canvas.height = down;
  Object.assign(canvas.style, { width: `${width}px`, height: `${height}px` });
}
