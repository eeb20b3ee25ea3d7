/** Where the picture lies on the stage, and how pixels of the one become those of the other. */

import type { Box, Point } from 'sam-export-web';

export interface Size {
  readonly width: number;
  readonly height: number;
}

export interface View {
  /** Pixels of the stage a pixel of the picture. */
  readonly scale: number;
  readonly left: number;
  readonly top: number;
  readonly picture: Size;
}

const MOST_SCALE = 4;

/** Return the view that shows all of a picture as large as it fits, in the middle. */
export function fit(picture: Size, stage: Size): View {
  const scale = Math.min(stage.width / picture.width, stage.height / picture.height, MOST_SCALE);
  const left = (stage.width - picture.width * scale) / 2;
  return { scale, left, top: (stage.height - picture.height * scale) / 2, picture };
}

/** Return a place on the stage in pixels of the picture; outside it, the nearest place of its border. */
export function toPicture({ scale, left, top, picture }: View, x: number, y: number): Point {
  return [within((x - left) / scale, picture.width), within((y - top) / scale, picture.height)];
}

export function toStage({ scale, left, top }: View, [x, y]: Point): Point {
  return [x * scale + left, y * scale + top];
}

export function isInside({ scale, left, top, picture }: View, x: number, y: number): boolean {
  return x >= left && y >= top && x <= left + picture.width * scale && y <= top + picture.height * scale;
}

/** Return the box of two corners, null if it has no area. */
export function boxBetween([x0, y0]: Point, [x1, y1]: Point): Box | null {
  const box = [Math.min(x0, x1), Math.min(y0, y1), Math.max(x0, x1), Math.max(y0, y1)] as const;
  return box[2] - box[0] >= 1 && box[3] - box[1] >= 1 ? box : null;
}

/** Return the corner opposite the one that lies within `reach` of a place, null if none does. */
export function oppositeCorner([x0, y0, x1, y1]: Box, [x, y]: Point, reach: number): Point | null {
  const near = (cornerX: number, cornerY: number) => Math.hypot(cornerX - x, cornerY - y) <= reach;
  if (near(x0, y0)) return [x1, y1];
  if (near(x1, y0)) return [x0, y1];
  if (near(x0, y1)) return [x1, y0];
  return near(x1, y1) ? [x0, y0] : null;
}

function within(value: number, most: number): number {
  return Math.min(Math.max(value, 0), most);
}
