/**
 * What a person has asked for on one picture: objects, each with its prompt. Nothing here is ever changed in place, so
 * that a step back is the scene of before. The masks are kept apart, by prompt (`answers.ts`).
 */

import type { Box, Point } from 'sam-export-web';

/** A prompt in pixels of the picture; its identity is the key of its answer. */
export interface ObjectPrompt {
  readonly points: readonly Point[];
  /** One a point: 1 foreground, 0 background. */
  readonly labels: readonly number[];
  readonly box: Box | null;
}

export interface SceneObject {
  readonly id: number;
  readonly name: string;
  readonly visible: boolean;
  readonly prompt: ObjectPrompt;
}

export interface Scene {
  readonly objects: readonly SceneObject[];
  /** The object that the next point belongs to; null: the next one begins an object. */
  readonly selected: number | null;
  readonly nextId: number;
}

export const EMPTY_SCENE: Scene = { objects: [], selected: null, nextId: 1 };

export function selectedObject(scene: Scene): SceneObject | null {
  return scene.objects.find(({ id }) => id === scene.selected) ?? null;
}

/** Return the prompt that a point would make: of the selected object with one more point, or of a new object. */
export function promptWithPoint(scene: Scene, point: Point, label: number): ObjectPrompt {
  const prompt = selectedObject(scene)?.prompt ?? { points: [], labels: [], box: null };
  return { ...prompt, points: [...prompt.points, point], labels: [...prompt.labels, label] };
}

/** Return the scene with the prompt given to the selected object, or to a new one. */
export function withPrompt(scene: Scene, prompt: ObjectPrompt): Scene {
  const selected = selectedObject(scene);
  if (!selected) return withObjects(scene, [prompt]);
  return { ...scene, objects: replaced(scene, selected.id, { prompt }) };
}

/** Return the scene with an object for each prompt; a single one is selected. */
export function withObjects(scene: Scene, prompts: readonly ObjectPrompt[]): Scene {
  const added = prompts.map((prompt, index) => {
    const id = scene.nextId + index;
    return { id, name: `Object ${id}`, visible: true, prompt };
  });
  return {
    objects: [...scene.objects, ...added],
    selected: added.length === 1 ? added[0]!.id : null,
    nextId: scene.nextId + added.length,
  };
}

export function select(scene: Scene, id: number | null): Scene {
  return { ...scene, selected: id };
}

export function rename(scene: Scene, id: number, name: string): Scene {
  return { ...scene, objects: replaced(scene, id, { name }) };
}

export function setVisible(scene: Scene, id: number, visible: boolean): Scene {
  return { ...scene, objects: replaced(scene, id, { visible }) };
}

export function remove(scene: Scene, id: number): Scene {
  const selected = scene.selected === id ? null : scene.selected;
  return { ...scene, objects: scene.objects.filter((one) => one.id !== id), selected };
}

export function removeAll(scene: Scene): Scene {
  return { ...scene, objects: [], selected: null };
}

function replaced(scene: Scene, id: number, change: Partial<SceneObject>): SceneObject[] {
  return scene.objects.map((one) => (one.id === id ? { ...one, ...change } : one));
}
