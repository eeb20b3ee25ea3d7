/** The picture by keyboard: a cursor that moves, points and corners where it stands. Letters act on the picture only. */

import type { Point } from 'sam-export-web';
import type { Size } from './view.js';

export interface KeyActions {
  size(): Size | null;
  cursor(): Point | null;
  move(cursor: Point): void;
  /** A point at the cursor, or a corner in box mode. */
  enter(label: number): void;
  toggleBox(): void;
  undo(): void;
  redo(): void;
  newObject(): void;
  everything(): void;
  removeSelected(): void;
  escape(): void;
}

/** A step is this part of the picture's longer side; with Shift it is one pixel. */
const STEP = 1 / 40;
const DIRECTIONS: Readonly<Record<string, readonly [number, number]>> = {
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, -1],
  ArrowDown: [0, 1],
};

/** Return whether a key that the focused picture got was one of its own. */
export function pictureKey(event: KeyboardEvent, actions: KeyActions): boolean {
  const direction = DIRECTIONS[event.key];
  if (direction) return moved(direction, event.shiftKey, actions);
  if (event.ctrlKey || event.metaKey || event.altKey) return false;
  const action = actionOf(event, actions);
  action?.();
  return action !== null;
}

/** Return whether a key, anywhere but in a text field, was a step back or forth. */
export function historyKey(event: KeyboardEvent, actions: KeyActions): boolean {
  if (!(event.ctrlKey || event.metaKey) || event.altKey) return false;
  const key = event.key.toLowerCase();
  if (key === 'z' && !event.shiftKey) actions.undo();
  else if (key === 'y' || key === 'z') actions.redo();
  else return false;
  return true;
}

function actionOf({ key, shiftKey }: KeyboardEvent, actions: KeyActions): (() => void) | null {
  switch (key.toLowerCase()) {
    case 'enter':
    case ' ':
      return () => {
        actions.enter(shiftKey ? 0 : 1);
      };
    case 'b':
      return () => {
        actions.toggleBox();
      };
    case 'z':
      return () => {
        if (shiftKey) actions.redo();
        else actions.undo();
      };
    case 'n':
      return () => {
        actions.newObject();
      };
    case 'e':
      return () => {
        actions.everything();
      };
    case 'delete':
    case 'backspace':
      return () => {
        actions.removeSelected();
      };
    case 'escape':
      return () => {
        actions.escape();
      };
    default:
      return null;
  }
}

function moved([dx, dy]: readonly [number, number], fine: boolean, actions: KeyActions): boolean {
  const size = actions.size();
  if (!size) return false;
  const [x, y] = actions.cursor() ?? [size.width / 2, size.height / 2];
  const step = fine ? 1 : Math.max(1, Math.round(Math.max(size.width, size.height) * STEP));
  const within = (value: number, most: number) => Math.min(Math.max(value, 0), most);
  actions.move([within(x + dx * step, size.width), within(y + dy * step, size.height)]);
  return true;
}
