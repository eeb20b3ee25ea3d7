/** What a person does to the picture: points, boxes, previews, everything, and steps back. */

import type { Box, Point, Prediction, SamImage } from 'sam-export-web';
import { Answers, answerOfMask, answerOfObject, type Answer, coverage } from './answers.js';
import { EverythingRun, type EverythingWish } from './everything_run.js';
import { percent } from './format.js';
import { History } from './history.js';
import * as scenes from './scene.js';
import type { ObjectPrompt, Scene } from './scene.js';
import type { Session } from './session.js';
import { isAborted, wordsFor } from './words.js';

export type Tool = 'point' | 'box';

/** What the editor tells the page. */
export interface EditorEvents {
  readonly changed: () => void;
  /** For whoever does not see the picture. */
  readonly announce: (text: string) => void;
  /** For everybody, for a moment. */
  readonly notice: (text: string) => void;
  /** What was noticed is done. */
  readonly endNotice: () => void;
}

export class Editor {
  tool: Tool = 'point';
  /** The mask that a click here, or the box that is being drawn, would give. */
  preview: Answer | null = null;
  readonly answers = new Answers();
  private history = History.of(scenes.EMPTY_SCENE);
  private hovers = 0;
  private lastEnded = 0;
  private readonly asked = new WeakSet<ObjectPrompt>();
  private readonly run: EverythingRun;

  constructor(
    private readonly session: Session,
    private readonly events: EditorEvents,
  ) {
    this.run = new EverythingRun(events.changed);
  }

  /** 0..1 while everything is being segmented, otherwise null. */
  get everythingDone(): number | null {
    return this.run.done;
  }

  get scene(): Scene {
    return this.history.present;
  }

  get canUndo(): boolean {
    return this.history.canUndo;
  }

  get canRedo(): boolean {
    return this.history.canRedo;
  }

  /** Whether the model answers to boxes only; false while it is not known. */
  get boxesOnly(): boolean {
    const { model } = this.session;
    return model.kind === 'ready' && !model.sam.info.prompts.includes('point');
  }

  /** Begin anew, on another picture. */
  reset(): void {
    this.cancelEverything();
    this.history = History.of(scenes.EMPTY_SCENE);
    this.endPreview();
  }

  setTool(tool: Tool): void {
    if (tool === 'point' && this.boxesOnly) {
      this.adviseBoxes();
      return;
    }
    this.tool = tool;
    this.endPreview();
    this.events.announce(tool === 'box' ? 'Box: two corners make a box' : 'Point: one point asks for an object');
  }

  /** A click: the selected object gets the point, or a new one begins. */
  addPoint(point: Point, label: number): void {
    if (this.boxesOnly) {
      this.adviseBoxes();
      return;
    }
    if (label === 0 && !scenes.selectedObject(this.scene)) {
      this.events.notice('Select an object first, then say what does not belong to it');
      return;
    }
    this.commitPrompt(scenes.promptWithPoint(this.scene, point, label));
  }

  /** A box begins an object; with `resized`, the selected one gets it in place of its own. */
  addBox(box: Box, resized: boolean): void {
    const selected = resized ? scenes.selectedObject(this.scene) : null;
    if (!selected) this.history = this.history.amend(scenes.select(this.scene, null));
    this.commitPrompt({ ...(selected?.prompt ?? { points: [], labels: [] }), box });
  }

  /** Show what a click would give; null: the pointer has left. */
  hover(point: Point | null, label: number): void {
    const selected = scenes.selectedObject(this.scene) !== null;
    if (!point || this.tool !== 'point' || this.boxesOnly || (label === 0 && !selected)) this.endPreview();
    else void this.previewPrompt(scenes.promptWithPoint(this.scene, point, label));
  }

  hoverBox(box: Box | null): void {
    if (box) void this.previewPrompt({ points: [], labels: [], box });
    else this.endPreview();
  }

  undo(): void {
    if (!this.canUndo) return;
    this.history = this.history.undo();
    this.moved('Undone');
  }

  redo(): void {
    if (!this.canRedo) return;
    this.history = this.history.redo();
    this.moved('Done again');
  }

  select(id: number | null): void {
    this.history = this.history.amend(scenes.select(this.scene, id));
    this.endPreview();
  }

  rename(id: number, name: string): void {
    this.commit(scenes.rename(this.scene, id, name));
  }

  setVisible(id: number, visible: boolean): void {
    this.commit(scenes.setVisible(this.scene, id, visible));
  }

  remove(id: number): void {
    const name = this.scene.objects.find((one) => one.id === id)?.name;
    this.commit(scenes.remove(this.scene, id));
    this.events.announce(`${name} deleted`);
  }

  removeAll(): void {
    this.commit(scenes.removeAll(this.scene));
    this.events.announce('All objects deleted');
  }

  /** Ask for what has no answer yet: after a step, and when a picture becomes ready. */
  askMissing(): void {
    for (const { prompt } of this.scene.objects) void this.ask(prompt);
  }

  /** Segment everything with a grid of points; the objects come as one step. */
  async everything(wish: EverythingWish): Promise<void> {
    const { model, image, timings } = this.session;
    if (model.kind !== 'ready' || !image || this.run.done !== null) return;
    const begun = performance.now();
    try {
      const found = await this.run.start(model.sam, image, wish);
      if (image === this.session.image) timings.everythingMs = performance.now() - begun;
      this.addFound(found.map((one) => [{ points: [one.point], labels: [1], box: null }, answerOfObject(one)]));
    } catch (thrown) {
      if (!isAborted(thrown)) this.events.notice(wordsFor(thrown).title);
      else this.events.announce('Stopped');
    }
  }

  cancelEverything(): void {
    this.run.cancel();
  }

  private addFound(found: readonly (readonly [ObjectPrompt, Answer])[]): void {
    for (const [prompt, answer] of found) this.answers.set(prompt, answer);
    const prompts = found.map(([prompt]) => prompt);
    if (found.length > 0) this.commit(scenes.withObjects(this.scene, prompts));
    const count = found.length === 1 ? '1 object' : `${found.length} objects`;
    const caution = this.boxesOnly ? '. This model was trained on boxes, so expect rough ones.' : '';
    this.events.notice(found.length > 0 ? `${count} found${caution}` : 'Nothing sure and stable enough was found');
  }

  private commitPrompt(prompt: ObjectPrompt): void {
    this.commit(scenes.withPrompt(this.scene, prompt));
  }

  private commit(scene: Scene): void {
    this.history = this.history.push(scene);
    this.endPreview();
    this.askMissing();
  }

  private moved(what: string): void {
    this.endPreview();
    this.askMissing();
    const count = this.scene.objects.length;
    this.events.announce(`${what}. ${count === 1 ? '1 object' : `${count} objects`}`);
  }

  private async ask(prompt: ObjectPrompt): Promise<void> {
    const { image } = this.session;
    if (!image || this.asked.has(prompt) || this.answers.get(prompt)) return;
    this.asked.add(prompt);
    const begun = performance.now();
    try {
      const answer = answerOfMask((await predicted(image, prompt)).best);
      if (image === this.session.image) this.session.timings.clicked(performance.now() - begun);
      if (answer.area === 0) this.takeBack(prompt, 'Nothing was found there. Try another place.');
      else this.answered(prompt, answer);
    } catch (thrown) {
      if (!isAborted(thrown)) this.takeBack(prompt, wordsFor(thrown).title);
    }
    this.asked.delete(prompt);
  }

  private answered(prompt: ObjectPrompt, answer: Answer): void {
    this.answers.set(prompt, answer);
    const name = this.scene.objects.find((one) => one.prompt === prompt)?.name;
    const quality = percent(Math.min(1, Math.max(0, answer.iouPrediction)));
    if (name) this.events.announce(`${name} covers ${percent(coverage(answer))} of the picture, quality ${quality}`);
    this.events.changed();
  }

  /** Undo the step that asked for a prompt; where others came after it, its object goes. */
  private takeBack(prompt: ObjectPrompt, why: string): void {
    const has = (scene: Scene) => scene.objects.find((one) => one.prompt === prompt);
    const [object, before] = [has(this.scene), this.history.undo()];
    if (object && !has(before.present)) this.history = before;
    else if (object) this.history = this.history.amend(scenes.remove(this.scene, object.id));
    this.events.notice(why);
    this.events.changed();
  }

  private async previewPrompt(prompt: ObjectPrompt): Promise<void> {
    const { image } = this.session;
    if (!image) return;
    const turn = ++this.hovers;
    const begun = performance.now();
    try {
      const found = await image.preview(asked(prompt), { multimask: isAmbiguous(prompt) });
      // While the pointer moves on, the last mask stays until the next comes; once it has left, none is wanted.
      if (!found || turn <= this.lastEnded) return;
      this.session.timings.previewed(performance.now() - begun);
      this.preview = answerOfMask(found.best);
      this.events.changed();
    } catch (thrown) {
      if (!isAborted(thrown)) this.events.notice(wordsFor(thrown).title);
    }
  }

  private endPreview(): void {
    this.lastEnded = this.hovers;
    this.preview = null;
    this.events.changed();
  }

  private adviseBoxes(): void {
    this.tool = 'box';
    this.events.notice('This model answers to boxes. Drag one around an object.');
    this.events.changed();
  }
}

/** Whether one point could mean a whole or a part of it, so that the best of several masks is wanted. */
function isAmbiguous({ points, box }: ObjectPrompt): boolean {
  return points.length === 1 && box === null;
}

function asked({ points, labels, box }: ObjectPrompt) {
  return { ...(points.length > 0 ? { points, labels } : {}), ...(box ? { box } : {}) };
}

function predicted(image: SamImage, prompt: ObjectPrompt): Promise<Prediction> {
  return image.predict(asked(prompt), { multimask: isAmbiguous(prompt) });
}
