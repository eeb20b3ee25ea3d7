/** The page's side of a worker: calls with answers, one that was given up, and a worker that ends. */

import { SamError } from './errors.js';
import type { FromWorker, Method, Methods, ToWorker } from './protocol.js';

export interface CallOptions {
  readonly signal?: AbortSignal | undefined;
  /** The part of a long call that is done, 0..1. */
  readonly onProgress?: ((done: number) => void) | undefined;
  readonly transfer?: Transferable[] | undefined;
}

interface Pending {
  resolve(value: unknown): void;
  reject(error: SamError): void;
  readonly onProgress: CallOptions['onProgress'];
}

export class WorkerClient {
  private readonly pending = new Map<number, Pending>();
  private nextId = 1;
  private ended: SamError | null = null;

  constructor(private readonly worker: Worker) {
    worker.onmessage = ({ data }: MessageEvent<FromWorker>) => {
      this.receive(data);
    };
    worker.onerror = (event) => {
      event.preventDefault();
      const where = event.filename ? ` (${event.filename}:${event.lineno})` : '';
      const reason = event.message || 'its script could not be loaded';
      this.end(new SamError('WORKER_FAILED', `worker: ${reason}${where}; check that the worker's file is served`));
    };
    worker.onmessageerror = () => {
      this.end(new SamError('WORKER_FAILED', 'worker: a message could not be read'));
    };
  }

  /**
   * Return what the worker answers.
   *
   * A signal that fires tells the worker, which stops where it can and answers ABORTED, or goes on to the end.
   */
  call<M extends Method>(
    method: M,
    params: Methods[M]['takes'],
    { signal, onProgress, transfer }: CallOptions = {},
  ): Promise<Methods[M]['gives']> {
    if (this.ended) return Promise.reject(this.ended);
    const id = this.nextId++;
    const abort = () => {
      this.post({ abort: id });
    };
    signal?.addEventListener('abort', abort);
    return new Promise<Methods[M]['gives']>((resolve, reject) => {
      this.pending.set(id, { resolve: resolve, reject, onProgress });
      this.post({ id, method, params } as ToWorker, transfer);
    }).finally(() => {
      signal?.removeEventListener('abort', abort);
    });
  }

  /** End the worker, and with it all that it holds: WebAssembly memory never shrinks otherwise. */
  terminate(): void {
    this.end(new SamError('DISPOSED', 'sam: it was disposed of; load it again'));
  }

  private post(message: ToWorker, transfer: Transferable[] = []): void {
    this.worker.postMessage(message, transfer);
  }

  private receive(message: FromWorker): void {
    const pending = this.pending.get(message.id);
    if (!pending) return;
    if ('progress' in message) {
      pending.onProgress?.(message.progress);
      return;
    }
    this.pending.delete(message.id);
    if ('error' in message) pending.reject(new SamError(message.error.code, message.error.message));
    else pending.resolve(message.value);
  }

  private end(error: SamError): void {
    this.ended ??= error;
    this.worker.terminate();
    for (const pending of this.pending.values()) pending.reject(error);
    this.pending.clear();
  }
}
