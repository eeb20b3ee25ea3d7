/** Hashes, by the browser's own code. */

import { SamError } from './errors.js';

/** Return the sha256 in hex. Raises INSECURE_CONTEXT where the browser computes none. */
export async function sha256Hex(bytes: ArrayBuffer | Uint8Array<ArrayBuffer>): Promise<string> {
  if (!globalThis.crypto?.subtle) {
    throw new SamError(
      'INSECURE_CONTEXT',
      `page ${globalThis.location?.origin ?? ''}: no hashes outside of https and localhost; serve the page over https`,
    );
  }
  const digest = await crypto.subtle.digest('SHA-256', bytes);
  return [...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, '0')).join('');
}
