import { expect, test } from 'vitest';
import { History } from '../../demo/src/history.js';
import * as scenes from '../../demo/src/scene.js';

test('steps go back and forth', () => {
  const there = History.of(1).push(2).push(3);
  expect([there.present, there.undo().present, there.undo().undo().present]).toEqual([3, 2, 1]);
  expect(there.undo().undo().redo().present).toBe(2);
  expect([there.canUndo, there.canRedo, there.undo().canRedo]).toEqual([true, false, true]);
});

test('at either end nothing happens', () => {
  const start = History.of('only');
  expect(start.undo()).toBe(start);
  expect(start.redo()).toBe(start);
});

test('a new step forgets what was undone', () => {
  const changed = History.of(1).push(2).undo().push(5);
  expect([changed.canRedo, changed.undo().present]).toEqual([false, 1]);
});

test('an amendment is no step', () => {
  const amended = History.of(1).push(2).amend(9);
  expect([amended.present, amended.undo().present, amended.undo().redo().present]).toEqual([9, 1, 9]);
});

test('long histories forget their beginning', () => {
  let history = History.of(0);
  for (let step = 1; step <= 1000; step++) history = history.push(step);
  let steps = 0;
  for (; history.canUndo; steps++) history = history.undo();
  expect(steps).toBe(200);
});

const PROMPT = { points: [[3, 4]], labels: [1], box: null } as const;

test('a point begins an object, the next one refines it', () => {
  const one = scenes.withPrompt(scenes.EMPTY_SCENE, scenes.promptWithPoint(scenes.EMPTY_SCENE, [3, 4], 1));
  expect(scenes.selectedObject(one)).toMatchObject({ id: 1, name: 'Object 1', visible: true, prompt: PROMPT });
  const two = scenes.withPrompt(one, scenes.promptWithPoint(one, [8, 9], 0));
  expect(two.objects).toHaveLength(1);
  expect(two.objects[0]!.prompt).toEqual({
    points: [
      [3, 4],
      [8, 9],
    ],
    labels: [1, 0],
    box: null,
  });
  expect(one.objects[0]!.prompt).toEqual(PROMPT);
});

test('numbers are never given twice', () => {
  const first = scenes.withObjects(scenes.EMPTY_SCENE, [PROMPT, PROMPT]);
  expect(first.selected).toBeNull();
  const again = scenes.withObjects(scenes.remove(first, 2), [PROMPT]);
  expect(again.objects.map(({ id }) => id)).toEqual([1, 3]);
  expect(again.selected).toBe(3);
  expect(scenes.remove(again, 3).selected).toBeNull();
  expect(scenes.removeAll(again)).toEqual({ objects: [], selected: null, nextId: 4 });
});

test('names and visibility are of one object', () => {
  const scene = scenes.withObjects(scenes.EMPTY_SCENE, [PROMPT, PROMPT]);
  const changed = scenes.setVisible(scenes.rename(scene, 2, 'cup'), 2, false);
  expect(changed.objects.map(({ name, visible }) => [name, visible])).toEqual([
    ['Object 1', true],
    ['cup', false],
  ]);
});
