/** What went wrong, in words for a person who has not read the package's documentation. */

import { SamError, type SamErrorCode } from 'sam-export-web';

export interface Words {
  readonly title: string;
  readonly advice: string;
  /** What a program would read; `PAGE` for anything that the package did not raise. */
  readonly code: string;
  /** The error's own text, for whoever looks closer. */
  readonly detail: string;
}

type Text = readonly [title: string, advice: string];

const TEXTS: Readonly<Record<SamErrorCode, Text>> = {
  BUNDLE_INVALID: ['This is not a model bundle', 'The address answers, with something else. Check the bundle address.'],
  BUNDLE_UNSUPPORTED: [
    'This model cannot run in a browser',
    'It was exported for another engine or version. Export it again with --target web.',
  ],
  DOWNLOAD_FAILED: [
    'The model could not be downloaded',
    'Check the connection and the bundle address, then try again.',
  ],
  FILE_DAMAGED: [
    'A model file is damaged',
    'Its contents are not what its maker signed off, so it is not used. Try again; if it stays, the bundle has to be copied to the server again.',
  ],
  INSECURE_CONTEXT: [
    'This page needs a secure address',
    'Open it over https, or from localhost: otherwise the browser cannot check the files.',
  ],
  THREADS_NEED_ISOLATION: [
    'Threads are not available here',
    'The page is not cross-origin isolated. Open it without the threads option.',
  ],
  REQUEST_INVALID: ['That cannot be asked', 'Try another point or another box.'],
  IMAGE_INVALID: ['This picture cannot be used', 'Try a PNG, JPEG or WebP file.'],
  EMBEDDING_INVALID: [
    'The server’s answer cannot be read',
    'It may run another version. Encode in the browser instead.',
  ],
  EMBEDDING_MISMATCH: [
    'The server runs another model',
    'Its encoding does not fit the decoder of this page. Encode in the browser instead, or give the matching bundle.',
  ],
  NO_ENCODER: ['The encoder is not loaded', 'Switch to encoding in the browser.'],
  DEVICE_UNAVAILABLE: [
    'No device of this browser runs this model',
    'Each was tried, and none gave the masks that the model must give. The reasons are below.',
  ],
  WASM_NOT_FOUND: [
    'A part of this page is missing',
    'The WebAssembly file of onnxruntime-web was not found where the page was built to find it.',
  ],
  ENGINE_FAILED: ['The engine stopped', 'Try again, or reload the page.'],
  CONTRACT: ['The model gave something unexpected', 'It may be damaged. Export it again.'],
  SELFTEST_FAILED: [
    'This device gives other masks',
    'The model’s own test came out wrong here, so it is not used. Another browser may do.',
  ],
  OUT_OF_MEMORY: ['The browser has no memory left', 'Close other tabs, or take a smaller picture, then try again.'],
  ABORTED: ['Stopped', 'You can start it again.'],
  DISPOSED: ['The model was closed', 'Try again.'],
  WORKER_FAILED: ['The worker did not start', 'Reload the page. A blocker or a strict content policy can cause this.'],
};

/** An error of this page itself, with words of its own. */
export class PageError extends Error {
  constructor(
    readonly title: string,
    readonly advice: string,
    detail: string,
  ) {
    super(detail);
  }
}

export function wordsFor(thrown: unknown): Words {
  const detail = thrown instanceof Error ? thrown.message : String(thrown);
  if (thrown instanceof PageError) return { title: thrown.title, advice: thrown.advice, code: 'PAGE', detail };
  if (!(thrown instanceof SamError)) {
    return { title: 'Something went wrong', advice: 'Try again, or reload the page.', code: 'PAGE', detail };
  }
  const [title, advice] = TEXTS[thrown.code];
  return { title, advice, code: thrown.code, detail };
}

/** Whether somebody asked for it to stop, so that nothing needs to be said. */
export function isAborted(thrown: unknown): boolean {
  return thrown instanceof SamError && (thrown.code === 'ABORTED' || thrown.code === 'DISPOSED');
}
