/** Mouse, pen and finger on the picture become points and boxes. */

import type { Box, Point } from 'sam-export-web';
import { boxBetween, isInside, oppositeCorner, toPicture, type View } from './view.js';

export interface PointerActions {
  view(): View | null;
  /** The box whose corners can be dragged: the selected object's. */
  handles(): Box | null;
  /** Whether two taps make a box, for whoever cannot drag. */
  boxByCorners(): boolean;
  /** Whether there is something that a long press can take away from; otherwise a slow tap is a tap. */
  canTakeAway(): boolean;
  hover(point: Point | null, label: number): void;
  point(point: Point, label: number): void;
  corner(point: Point): void;
  drag(box: Box | null): void;
  box(box: Box, resized: boolean): void;
}

const LONG_PRESS_MS = 500;
const DRAG_PIXELS = { mouse: 5, pen: 6, touch: 10 };
const HANDLE_PIXELS = { mouse: 11, pen: 14, touch: 24 };
const LONG_PRESS_BUZZ_MS = 15;

type Kind = keyof typeof DRAG_PIXELS;

interface Press {
  readonly id: number;
  readonly kind: Kind;
  readonly x: number;
  readonly y: number;
  /** Where the box begins: the place itself, or the corner opposite a dragged handle. */
  readonly anchor: Point;
  readonly resizes: boolean;
  readonly timer: ReturnType<typeof setTimeout> | undefined;
  dragging: boolean;
}

export class PointerInput {
  private press: Press | null = null;

  constructor(
    private readonly area: HTMLElement,
    private readonly actions: PointerActions,
  ) {
    area.addEventListener('pointerdown', (event) => {
      this.down(event);
    });
    area.addEventListener('pointermove', (event) => {
      this.move(event);
    });
    area.addEventListener('pointerup', (event) => {
      this.up(event);
    });
    area.addEventListener('pointercancel', () => {
      this.cancel();
    });
    area.addEventListener('pointerleave', () => {
      actions.hover(null, 1);
    });
    // A long press is a background point here, not a menu; a mouse's right button, too.
    area.addEventListener('contextmenu', (event) => {
      event.preventDefault();
    });
  }

  /** Give up what is being drawn. */
  cancel(): void {
    if (!this.press) return;
    clearTimeout(this.press.timer);
    this.press = null;
    this.actions.drag(null);
  }

  private down(event: PointerEvent): void {
    const view = this.actions.view();
    const [x, y] = this.place(event);
    if (this.press) {
      // A second finger zooms the page.
      this.cancel();
      return;
    }
    if (!view || !isInside(view, x, y) || event.button > 2) return;
    const kind = kindOf(event);
    const point = toPicture(view, x, y);
    const opposite = this.opposite(point, HANDLE_PIXELS[kind] / view.scale);
    const timer =
      kind === 'touch' && this.actions.canTakeAway()
        ? setTimeout(() => {
            this.longPress(point);
          }, LONG_PRESS_MS)
        : undefined;
    this.press = {
      id: event.pointerId,
      kind,
      x,
      y,
      anchor: opposite ?? point,
      resizes: opposite !== null,
      timer,
      dragging: false,
    };
    this.area.setPointerCapture(event.pointerId);
  }

  private move(event: PointerEvent): void {
    const view = this.actions.view();
    if (!view) return;
    const [x, y] = this.place(event);
    const { press } = this;
    if (!press) {
      this.hover(event, view, x, y);
      return;
    }
    if (press.id !== event.pointerId) return;
    if (!press.dragging && Math.hypot(x - press.x, y - press.y) < DRAG_PIXELS[press.kind]) return;
    clearTimeout(press.timer);
    press.dragging = true;
    this.actions.hover(null, 1);
    this.actions.drag(boxBetween(press.anchor, toPicture(view, x, y)));
  }

  private hover(event: PointerEvent, view: View, x: number, y: number): void {
    const inside = isInside(view, x, y);
    const point = toPicture(view, x, y);
    const onHandle = inside && this.opposite(point, HANDLE_PIXELS[kindOf(event)] / view.scale) !== null;
    this.area.dataset['pointer'] = onHandle ? 'handle' : inside ? 'picture' : 'outside';
    if (event.pointerType !== 'touch') this.actions.hover(inside && !onHandle ? point : null, labelOf(event));
  }

  private up(event: PointerEvent): void {
    const { press } = this;
    const view = this.actions.view();
    if (!press || press.id !== event.pointerId || !view) return;
    clearTimeout(press.timer);
    this.press = null;
    if (press.dragging) {
      const box = boxBetween(press.anchor, toPicture(view, ...this.place(event)));
      this.actions.drag(null);
      if (box) this.actions.box(box, press.resizes);
      return;
    }
    const point = toPicture(view, press.x, press.y);
    if (this.actions.boxByCorners()) this.actions.corner(point);
    else this.actions.point(point, labelOf(event));
  }

  private longPress(point: Point): void {
    if (this.press?.dragging !== false) return;
    this.cancel();
    navigator.vibrate?.(LONG_PRESS_BUZZ_MS);
    this.actions.point(point, 0);
  }

  private opposite(point: Point, reach: number): Point | null {
    const box = this.actions.handles();
    return box && oppositeCorner(box, point, reach);
  }

  private place(event: PointerEvent): [number, number] {
    const { left, top } = this.area.getBoundingClientRect();
    return [event.clientX - left, event.clientY - top];
  }
}

function kindOf({ pointerType }: PointerEvent): Kind {
  return pointerType === 'touch' || pointerType === 'pen' ? pointerType : 'mouse';
}

/** Shift and the right button say what does not belong to the object. */
function labelOf(event: PointerEvent): number {
  return event.shiftKey || event.button === 2 ? 0 : 1;
}
