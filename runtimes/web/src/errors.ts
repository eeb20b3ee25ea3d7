/**
 * Every error that this package raises on purpose. A message names the subject, what was given, what is allowed and
 * the next step; a program reads `code`.
 */

export type SamErrorCode =
  /** `bundle.json` or a file of the bundle is not what sam-export writes. */
  | 'BUNDLE_INVALID'
  /** A good bundle that this runtime cannot use: another schema or target, or nothing for the device. */
  | 'BUNDLE_UNSUPPORTED'
  /** The server or the network failed. */
  | 'DOWNLOAD_FAILED'
  /** A file arrived whole and is not the one that the manifest names. */
  | 'FILE_DAMAGED'
  /** The page is not served over https or from localhost, so hashes cannot be checked. */
  | 'INSECURE_CONTEXT'
  /** Threads were asked for on a page that is not cross-origin isolated. */
  | 'THREADS_NEED_ISOLATION'
  /** A prompt or an option that makes no sense. */
  | 'REQUEST_INVALID'
  /** A picture that cannot be read or used. */
  | 'IMAGE_INVALID'
  /** A `.semb` file that is damaged or of another version. */
  | 'EMBEDDING_INVALID'
  /** A `.semb` file made by another model. */
  | 'EMBEDDING_MISMATCH'
  /** A picture was to be encoded by a Sam that was loaded without its encoder. */
  | 'NO_ENCODER'
  /** No device of this browser gives the bundle's masks; the text says why for each. */
  | 'DEVICE_UNAVAILABLE'
  /** The WebAssembly file of onnxruntime-web is not where it was looked for. */
  | 'WASM_NOT_FOUND'
  /** onnxruntime-web cannot open or run a graph. */
  | 'ENGINE_FAILED'
  /** A graph's tensors are not the contract's, or hold NaN. */
  | 'CONTRACT'
  /** A device does not give the bundle's own masks. */
  | 'SELFTEST_FAILED'
  /** The browser has no memory left for this. */
  | 'OUT_OF_MEMORY'
  /** The caller's AbortSignal fired. */
  | 'ABORTED'
  /** The Sam or the picture was disposed of. */
  | 'DISPOSED'
  /** The worker could not be started, or ended. */
  | 'WORKER_FAILED';

export class SamError extends Error {
  readonly code: SamErrorCode;

  constructor(code: SamErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
    this.name = code === 'ABORTED' ? 'AbortError' : 'SamError';
  }
}

/** Raise ABORTED if the signal has fired. */
export function throwIfAborted(signal: AbortSignal | undefined, subject: string): void {
  if (signal?.aborted) throw aborted(signal, subject);
}

export function aborted(signal: AbortSignal, subject: string): SamError {
  return new SamError('ABORTED', `${subject}: aborted by the caller`, { cause: signal.reason });
}

/** Return the text of anything thrown, in one line. */
export function reasonOf(thrown: unknown): string {
  const text = thrown instanceof Error ? thrown.message : String(thrown);
  return text.replace(/\s+/g, ' ').trim().slice(0, 300) || 'no reason given';
}
