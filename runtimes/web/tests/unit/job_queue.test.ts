import { expect, test } from 'vitest';
import { JobQueue } from '../../src/job_queue.js';

/** A job that ends when it is told to. */
function gate() {
  let open: () => void = () => undefined;
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { open, opened };
}

test('jobs run in order, one at a time, also after one that fails', async () => {
  const queue = new JobQueue();
  const log: string[] = [];
  const job = (name: string) => async () => {
    log.push(`${name} begins`);
    await Promise.resolve();
    log.push(`${name} ends`);
    if (name === 'b') throw new Error('b fails');
    return name;
  };
  const all = await Promise.allSettled(['a', 'b', 'c'].map((name) => queue.run(name, job(name))));
  expect(all.map((one) => one.status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
  expect(log).toEqual(['a begins', 'a ends', 'b begins', 'b ends', 'c begins', 'c ends']);
});

test('of jobs of a kind that wait, only the newest runs', async () => {
  const queue = new JobQueue();
  const { open, opened } = gate();
  const [kind, ran] = [{}, [] as number[]];
  const jobs = [0, 1, 2, 3].map((index) =>
    queue.latest('preview', kind, async () => {
      ran.push(index);
      if (index === 0) await opened;
      return index;
    }),
  );
  const other = queue.latest('preview', {}, () => Promise.resolve('of another kind'));
  open();
  expect(await Promise.all(jobs)).toEqual([0, null, null, 3]);
  expect(await other).toBe('of another kind');
  expect(ran).toEqual([0, 3]);
});

test('a job that is aborted while it waits never runs', async () => {
  const queue = new JobQueue();
  const { open, opened } = gate();
  const controller = new AbortController();
  let ran = false;
  const first = queue.run('first', () => opened);
  const second = queue.run(
    'second',
    () => {
      ran = true;
      return Promise.resolve();
    },
    controller.signal,
  );
  controller.abort('enough');
  await expect(second).rejects.toMatchObject({ code: 'ABORTED', cause: 'enough', name: 'AbortError' });
  open();
  await first;
  await queue.run('third', () => Promise.resolve());
  expect(ran).toBe(false);
});

test('a job that is aborted while it runs ends unheard, and the next waits for its end', async () => {
  const queue = new JobQueue();
  const { open, opened } = gate();
  const controller = new AbortController();
  const log: string[] = [];
  const first = queue.run('first', () => opened.then(() => log.push('first ends')), controller.signal);
  const second = queue.run('second', () => Promise.resolve(log.push('second begins')));
  controller.abort();
  await expect(first).rejects.toMatchObject({ code: 'ABORTED' });
  expect(log).toEqual([]);
  open();
  await second;
  expect(log).toEqual(['first ends', 'second begins']);
});

test('a signal that has fired already starts nothing', async () => {
  await expect(new JobQueue().run('job', () => Promise.resolve(1), AbortSignal.abort())).rejects.toMatchObject({
    code: 'ABORTED',
  });
});
