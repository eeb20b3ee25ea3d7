/**
 * One job at a time, in order, for a worker that cannot be interrupted.
 *
 * A job that still waits can be given up at once, and one that a newer one of its kind has made useless never runs.
 */

import { aborted } from './errors.js';

interface Job {
  readonly kind: unknown;
  run(): Promise<void>;
  supersede(): void;
}

export class JobQueue {
  private waiting: Job[] = [];
  private busy = false;

  /** Return what the job gives. Raises ABORTED as soon as the signal fires; a job that runs ends unheard. */
  run<T>(subject: string, job: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    return this.enqueue(subject, undefined, job, signal) as Promise<T>;
  }

  /** Return what the job gives, or null if, before it could begin, a newer one of its kind came. */
  latest<T>(subject: string, kind: object, job: () => Promise<T>, signal?: AbortSignal): Promise<T | null> {
    const [stale, kept] = [
      this.waiting.filter((one) => one.kind === kind),
      this.waiting.filter((one) => one.kind !== kind),
    ];
    this.waiting = kept;
    for (const one of stale) one.supersede();
    return this.enqueue(subject, kind, job, signal);
  }

  private enqueue<T>(
    subject: string,
    kind: object | undefined,
    job: () => Promise<T>,
    signal: AbortSignal | undefined,
  ): Promise<T | null> {
    if (signal?.aborted) return Promise.reject(aborted(signal, subject));
    const ended = new AbortController();
    return new Promise<T | null>((resolve, reject) => {
      const entry: Job = {
        kind,
        run: () => job().then(resolve, reject),
        supersede: () => {
          resolve(null);
        },
      };
      const give = () => {
        this.waiting = this.waiting.filter((one) => one !== entry);
        reject(aborted(signal!, subject));
      };
      signal?.addEventListener('abort', give, { signal: ended.signal });
      this.waiting.push(entry);
      void this.work();
    }).finally(() => {
      ended.abort();
    });
  }

  private async work(): Promise<void> {
    if (this.busy) return;
    this.busy = true;
    for (let next = this.waiting.shift(); next; next = this.waiting.shift()) await next.run();
    this.busy = false;
  }
}
