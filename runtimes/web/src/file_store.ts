/** The files of a bundle: from the browser's cache or the network, never without their size and sha256 checked. */

import { aborted, reasonOf, SamError, throwIfAborted } from './errors.js';
import type { FileEntry } from './manifest.js';
import { fileUrl } from './paths.js';
import { sha256Hex } from './sha256.js';

/** Bytes of all files asked for so far, told from the moment that one is; `cached`: it came from the cache. */
export interface DownloadProgress {
  readonly file: string;
  readonly loadedBytes: number;
  readonly totalBytes: number;
  readonly cached: boolean;
}

export interface StoreOptions {
  readonly cache: Cache | null;
  readonly onProgress?: ((progress: DownloadProgress) => void) | undefined;
}

export class FileStore {
  /** Files that arrived whole: what failed, or was aborted, is asked for anew. */
  private readonly blobs = new Map<string, Blob>();
  private readonly loaded = new Map<string, number>();
  private totalBytes = 0;

  constructor(
    private readonly folder: URL,
    private readonly options: StoreOptions,
  ) {}

  /**
   * Return a file, checked; once it is there, a further call gives the same one.
   *
   * Raises DOWNLOAD_FAILED, FILE_DAMAGED, INSECURE_CONTEXT or ABORTED.
   */
  async file(entry: FileEntry, signal: AbortSignal | undefined): Promise<Blob> {
    throwIfAborted(signal, entry.path);
    const known = this.blobs.get(entry.sha256);
    if (known) return known;
    if (!this.loaded.has(entry.sha256)) this.totalBytes += entry.bytes;
    this.progress(entry, 0, false);
    const blob = await this.load(entry, signal);
    this.blobs.set(entry.sha256, blob);
    return blob;
  }

  private async load(entry: FileEntry, signal: AbortSignal | undefined): Promise<Blob> {
    const kept = await this.fromCache(entry, signal);
    if (kept) {
      this.progress(entry, entry.bytes, true);
      return kept;
    }
    const fresh = await this.fetched(entry, signal);
    await this.keep(entry, fresh);
    return fresh;
  }

  private async fromCache(entry: FileEntry, signal: AbortSignal | undefined): Promise<Blob | null> {
    const { cache } = this.options;
    const response = await cache?.match(cacheKey(entry));
    if (!response) return null;
    const blob = await response.blob();
    throwIfAborted(signal, entry.path);
    if ((await defect(entry, blob)) === null) return blob;
    await cache?.delete(cacheKey(entry));
    return null;
  }

  /** A full or forbidden cache costs the next visit a download, not this one its model. */
  private async keep(entry: FileEntry, blob: Blob): Promise<void> {
    await this.options.cache?.put(cacheKey(entry), new Response(blob)).catch(() => undefined);
  }

  private async fetched(entry: FileEntry, signal: AbortSignal | undefined): Promise<Blob> {
    const first = await this.download(entry, 'default', signal);
    if ((await defect(entry, first)) === null) return first;
    // The browser's own HTTP cache may hold the file of an earlier bundle at the same address.
    const second = await this.download(entry, 'reload', signal);
    const found = await defect(entry, second);
    if (found === null) return second;
    const message = `${fileUrl(this.folder, entry.path).href}: ${found}; copy the bundle to the server again`;
    throw new SamError('FILE_DAMAGED', message);
  }

  private async download(entry: FileEntry, cache: RequestCache, signal: AbortSignal | undefined): Promise<Blob> {
    const response = await fetchOk(fileUrl(this.folder, entry.path), { cache, signal: signal ?? null });
    return bodyUpTo(response, entry.bytes, signal, (size) => {
      this.progress(entry, size, false);
    });
  }

  private progress(entry: FileEntry, bytes: number, cached: boolean): void {
    this.loaded.set(entry.sha256, bytes);
    const loadedBytes = [...this.loaded.values()].reduce((sum, part) => sum + part, 0);
    this.options.onProgress?.({ file: entry.path, loadedBytes, totalBytes: this.totalBytes, cached });
  }
}

/**
 * Return a response's body, cut off soon after so many bytes: what is longer than it should be is damaged already, and
 * an endless one would take all memory. Raises DOWNLOAD_FAILED or ABORTED.
 */
export async function bodyUpTo(
  response: Response,
  most: number,
  signal?: AbortSignal,
  onBytes?: (size: number) => void,
): Promise<Blob> {
  const parts: BlobPart[] = [];
  try {
    let size = 0;
    for (let reader = response.body!.getReader(); ;) {
      const { done, value } = await reader.read();
      if (done) return new Blob(parts);
      parts.push(value);
      size += value.length;
      if (size > most) {
        await reader.cancel();
        return new Blob(parts);
      }
      onBytes?.(size);
    }
  } catch (thrown) {
    throw failed(response.url, thrown, signal);
  }
}

/** Return a response whose status is good. Raises DOWNLOAD_FAILED or ABORTED. */
export async function fetchOk(url: URL, init: RequestInit): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(url, init);
  } catch (thrown) {
    throw failed(url.href, thrown, init.signal ?? undefined);
  }
  if (!response.ok) {
    const message = `${url.href}: the server answers ${response.status}; check the bundle's address and its files`;
    throw new SamError('DOWNLOAD_FAILED', message);
  }
  return response;
}

function failed(url: string, thrown: unknown, signal: AbortSignal | undefined): SamError {
  if (signal?.aborted) return aborted(signal, url);
  const message = `${url}: not downloaded (${reasonOf(thrown)}); check the network, and CORS if it is another site`;
  return new SamError('DOWNLOAD_FAILED', message, { cause: thrown });
}

/** Files are kept under their hash alone, so bundles that share one keep it once, and an address may change. */
function cacheKey(entry: FileEntry): string {
  return `/.sam-export/${entry.sha256}`;
}

/** Return what is wrong with a file, null if it is the one that the manifest names. */
async function defect(entry: FileEntry, blob: Blob): Promise<string | null> {
  if (blob.size > entry.bytes) return `more than the ${entry.bytes} bytes that the manifest says`;
  if (blob.size < entry.bytes) return `${blob.size} bytes, the manifest says ${entry.bytes}`;
  const found = await sha256Hex(await blob.arrayBuffer());
  return found === entry.sha256 ? null : 'its sha256 is not the one in the manifest';
}
