/** Pictures encoded by `sam-export serve`: the picture goes there, its embedding comes back. */

import { PageError } from './words.js';

const ENDPOINT = 'v1/embeddings';
/** 8 bits a number: a quarter of the bytes, and masks that differ by a hair. */
const ACCEPT = 'application/vnd.sam-export.semb; dtype=int8';

/** Return the `.semb` bytes of a picture. Raises `PageError`, or the signal's reason. */
export async function embeddingFromServer(server: URL, picture: Blob, signal: AbortSignal): Promise<Uint8Array> {
  const response = await post(server, picture, signal);
  if (!response.ok) throw await refusal(response);
  return new Uint8Array(await response.arrayBuffer());
}

async function post(server: URL, picture: Blob, signal: AbortSignal): Promise<Response> {
  try {
    return await fetch(new URL(ENDPOINT, server), {
      method: 'POST',
      body: picture,
      headers: { Accept: ACCEPT, 'Content-Type': picture.type || 'application/octet-stream' },
      signal,
    });
  } catch (thrown) {
    signal.throwIfAborted();
    const detail = `${server.href}: ${thrown instanceof Error ? thrown.message : String(thrown)}`;
    throw new PageError('The server cannot be reached', 'Try again, or encode in the browser instead.', detail);
  }
}

async function refusal(response: Response): Promise<PageError> {
  const detail = `${response.url}: ${response.status} ${await reasonIn(response)}`;
  if (response.status === 429 || response.status === 503) {
    const wait = response.headers.get('Retry-After');
    const advice = wait ? `Try again in ${wait} seconds.` : 'Try again in a moment.';
    return new PageError('The server is busy', advice, detail);
  }
  if (response.status === 401 || response.status === 403) {
    return new PageError('The server asks for a key', 'This page has none. Encode in the browser instead.', detail);
  }
  if (response.status === 413) {
    return new PageError('The picture is too large for the server', 'Scale it down, or encode in the browser.', detail);
  }
  return new PageError('The server did not take the picture', 'Try another one, or encode in the browser.', detail);
}

/** Return what the server says, in its JSON or as the text of the status. */
async function reasonIn(response: Response): Promise<string> {
  const body = (await response.json().catch(() => null)) as { message?: unknown; detail?: unknown } | null;
  const said = body?.message ?? body?.detail;
  return typeof said === 'string' ? said : response.statusText;
}
