/** Pointer and keys on the picture: where the cursor is, the box that is being drawn, and what the editor is told. */

import type { Box, Point } from 'sam-export-web';
import type { Editor, EditorEvents, Tool } from './editor.js';
import { historyKey, type KeyActions, pictureKey } from './keyboard.js';
import { PointerInput } from './pointer.js';
import { selectedObject } from './scene.js';
import type { Session } from './session.js';
import { boxBetween, type View } from './view.js';

export class PictureInput {
  /** The keyboard's place in the picture. */
  cursor: Point | null = null;
  /** The first corner of a box that waits for its second. */
  corner: Point | null = null;
  dragged: Box | null = null;
  /** Whether the cursor was moved by keys, so that it must be seen. */
  byKeys = false;
  private readonly pointer: PointerInput;

  constructor(
    private readonly area: HTMLElement,
    private readonly session: Session,
    private readonly editor: Editor,
    private readonly events: EditorEvents,
    private readonly everything: () => void,
  ) {
    this.pointer = this.listenToPointer();
    this.listenToKeys();
  }

  /** The view that pointers are read by; the page sets it when it draws. */
  view: View | null = null;

  reset(): void {
    this.pointer.cancel();
    this.forgetCorner();
    this.cursor = this.dragged = null;
  }

  setTool(tool: Tool): void {
    this.dropCorner();
    this.editor.setTool(tool);
  }

  newObject(): void {
    this.dropCorner();
    this.editor.select(null);
    this.events.announce(`The next ${this.editor.boxesOnly ? 'box' : 'click'} begins a new object`);
  }

  private listenToPointer(): PointerInput {
    const { editor } = this;
    return new PointerInput(this.area, {
      view: () => (this.session.picture ? this.view : null),
      handles: () => selectedObject(editor.scene)?.prompt.box ?? null,
      boxByCorners: () => editor.tool === 'box',
      canTakeAway: () => editor.tool === 'point' && selectedObject(editor.scene) !== null,
      hover: (point, label) => {
        if (!this.corner) editor.hover(point, label);
        else if (point) this.drag(boxBetween(this.corner, point));
      },
      point: (point, label) => {
        this.cursor = point;
        this.byKeys = false;
        editor.addPoint(point, label);
      },
      corner: (point) => {
        this.addCorner(point);
      },
      drag: (box) => {
        this.forgetCorner();
        this.drag(box);
      },
      box: (box, resized) => {
        editor.addBox(box, resized);
      },
    });
  }

  private listenToKeys(): void {
    const actions = this.keyActions();
    this.area.addEventListener('keydown', (event) => {
      if (this.session.picture && pictureKey(event, actions)) event.preventDefault();
    });
    document.addEventListener('keydown', (event) => {
      if (event.defaultPrevented || event.target instanceof HTMLInputElement) return;
      if (historyKey(event, actions)) event.preventDefault();
    });
    for (const type of ['focus', 'blur']) this.area.addEventListener(type, this.events.changed);
  }

  private keyActions(): KeyActions {
    const { editor, events } = this;
    return {
      size: () => this.session.picture,
      cursor: () => this.cursor,
      move: (cursor) => {
        this.moveCursor(cursor);
      },
      enter: (label) => {
        if (!this.cursor) events.notice('Move the cursor with the arrow keys first');
        else if (editor.tool === 'box') this.addCorner(this.cursor);
        else editor.addPoint(this.cursor, label);
      },
      toggleBox: () => {
        this.setTool(editor.tool === 'box' ? 'point' : 'box');
      },
      undo: () => {
        editor.undo();
      },
      redo: () => {
        editor.redo();
      },
      newObject: () => {
        this.newObject();
      },
      everything: this.everything,
      removeSelected: () => {
        if (editor.scene.selected !== null) editor.remove(editor.scene.selected);
      },
      escape: () => {
        this.letGo();
      },
    };
  }

  private moveCursor(cursor: Point): void {
    this.cursor = cursor;
    this.byKeys = true;
    if (this.corner) this.drag(boxBetween(this.corner, cursor));
    else this.editor.hover(cursor, 1);
    this.events.announce(cursor.map(Math.round).join(', '));
    this.events.changed();
  }

  /** The first corner waits for the second, which makes the box. */
  private addCorner(point: Point): void {
    if (!this.corner) {
      this.corner = point;
      this.events.notice('First corner set. Now the opposite one.');
      this.events.changed();
      return;
    }
    const box = boxBetween(this.corner, point);
    if (!box) {
      this.events.notice('The opposite corner must lie elsewhere');
      return;
    }
    this.dropCorner();
    this.editor.addBox(box, false);
  }

  private letGo(): void {
    this.pointer.cancel();
    this.editor.cancelEverything();
    if (this.corner) this.dropCorner();
    else this.editor.select(null);
  }

  private dropCorner(): void {
    this.forgetCorner();
    this.drag(null);
  }

  /** What was said of the first corner goes with it. */
  private forgetCorner(): void {
    if (this.corner) this.events.endNotice();
    this.corner = null;
  }

  private drag(box: Box | null): void {
    this.dragged = box;
    this.editor.hoverBox(box);
  }
}
