/** The list of objects: a colour, a name that can be changed, whether it is shown, and a way to delete it. */

import type { Answers } from './answers.js';
import { coverage } from './answers.js';
import { byId, element, icon, setAttribute, setText } from './dom.js';
import { percent } from './format.js';
import { colourOf, css } from './palette.js';
import type { Scene, SceneObject } from './scene.js';

export interface ObjectActions {
  select(id: number | null): void;
  rename(id: number, name: string): void;
  setVisible(id: number, visible: boolean): void;
  remove(id: number): void;
  removeAll(): void;
}

interface Row {
  readonly item: HTMLLIElement;
  readonly swatch: HTMLButtonElement;
  readonly name: HTMLInputElement;
  readonly size: HTMLSpanElement;
  readonly eye: HTMLButtonElement;
  readonly bin: HTMLButtonElement;
}

const LONGEST_NAME = 60;

export class ObjectsPanel {
  private readonly rows = new Map<number, Row>();
  private readonly list = byId<HTMLUListElement>('objects');
  private readonly clear = byId<HTMLButtonElement>('clear');

  /** `highlight` is told the object that the pointer or the focus is on. */
  constructor(
    private readonly actions: ObjectActions,
    private readonly highlight: (id: number | null) => void,
  ) {
    this.clear.addEventListener('click', () => {
      actions.removeAll();
      byId('area').focus();
    });
  }

  render(scene: Scene, answers: Answers): void {
    const { objects } = scene;
    byId('objects-empty').hidden = objects.length > 0;
    this.clear.hidden = objects.length === 0;
    setText(byId('object-count'), objects.length > 0 ? String(objects.length) : '');
    for (const [id, row] of this.rows) {
      if (objects.some((one) => one.id === id)) continue;
      this.rows.delete(id);
      this.removeRow(row);
    }
    objects.forEach((object, index) => {
      const row = this.rows.get(object.id) ?? this.addRow(object);
      if (this.list.children[index] !== row.item) this.list.insertBefore(row.item, this.list.children[index] ?? null);
      const wasSelected = row.item.dataset['selected'] === 'true';
      updateRow(row, object, scene.selected === object.id, answers);
      if (scene.selected === object.id && !wasSelected) this.reveal(row.item);
    });
  }

  /** Scroll the list, and never the page, to a row. */
  private reveal(item: HTMLElement): void {
    const [list, row] = [this.list.getBoundingClientRect(), item.getBoundingClientRect()];
    if (row.bottom > list.bottom) this.list.scrollTop += row.bottom - list.bottom;
    else if (row.top < list.top) this.list.scrollTop -= list.top - row.top;
  }

  /** Focus does not fall off the page with the row that had it. */
  private removeRow({ item }: Row): void {
    if (item.contains(document.activeElement)) {
      const next = item.nextElementSibling ?? item.previousElementSibling;
      (next?.querySelector('button') ?? byId('area')).focus();
    }
    item.remove();
  }

  private addRow({ id, name }: SceneObject): Row {
    const swatch = element('button', { class: 'swatch', type: 'button' });
    swatch.style.setProperty('--colour', css(colourOf(id)));
    const input = element('input', {
      class: 'name',
      type: 'text',
      value: name,
      maxLength: LONGEST_NAME,
      spellcheck: false,
    });
    input.setAttribute('aria-label', `Name of object ${id}`);
    const size = element('span', { class: 'size' });
    const eye = element('button', { class: 'icon-button', type: 'button' }, icon('eye'));
    const bin = element('button', { class: 'icon-button', type: 'button' }, icon('bin'));
    const item = element('li', { class: 'object' }, swatch, input, size, eye, bin);
    const row = { item, swatch, name: input, size, eye, bin };
    this.listen(id, row);
    this.rows.set(id, row);
    return row;
  }

  private listen(id: number, { item, swatch, name, eye, bin }: Row): void {
    const { actions } = this;
    swatch.addEventListener('click', () => {
      actions.select(swatch.ariaPressed === 'true' ? null : id);
    });
    name.addEventListener('focus', () => {
      actions.select(id);
    });
    name.addEventListener('change', () => {
      actions.rename(id, name.value.trim() || `Object ${id}`);
    });
    name.addEventListener('keydown', (event) => {
      if (event.key === 'Enter') name.blur();
    });
    eye.addEventListener('click', () => {
      actions.setVisible(id, item.dataset['visible'] !== 'true');
    });
    bin.addEventListener('click', () => {
      actions.remove(id);
    });
    for (const type of ['pointerenter', 'focusin'])
      item.addEventListener(type, () => {
        this.highlight(id);
      });
    for (const type of ['pointerleave', 'focusout'])
      item.addEventListener(type, () => {
        this.highlight(null);
      });
  }
}

function updateRow(row: Row, { prompt, name, visible }: SceneObject, selected: boolean, answers: Answers): void {
  const answer = answers.get(prompt);
  const { item, swatch, eye, bin } = row;
  item.dataset['selected'] = String(selected);
  item.dataset['visible'] = String(visible);
  setAttribute(swatch, 'aria-pressed', String(selected));
  setAttribute(swatch, 'aria-label', `Select ${name}`);
  if (document.activeElement !== row.name) row.name.value = name;
  setText(row.size, answer ? percent(coverage(answer)) : '…');
  row.size.title = answer ? 'Part of the picture' : '';
  setAttribute(eye, 'aria-label', visible ? `Hide ${name}` : `Show ${name}`);
  setAttribute(eye.querySelector('use')!, 'href', visible ? '#i-eye' : '#i-eye-off');
  setAttribute(bin, 'aria-label', `Delete ${name}`);
}
