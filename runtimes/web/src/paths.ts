/** Paths from a manifest: inside the bundle, or nothing. */

import { SamError } from './errors.js';

/** Return a POSIX path relative to the bundle as it is, null for one that could leave it. */
export function safePath(path: string): string | null {
  const parts = path.split('/');
  const hostile =
    parts.some((part) => part === '' || part === '.' || part === '..') ||
    ['\\', ':', '\0'].some((sign) => path.includes(sign));
  return hostile ? null : path;
}

/** Return the address of a folder, with the slash at its end that relative addresses need; query and hash go. */
export function folderUrl(url: string | URL, base: string): URL {
  let folder: URL;
  try {
    folder = new URL(url, base);
  } catch (cause) {
    throw new SamError('REQUEST_INVALID', `bundle ${url}: no address; give the URL of the bundle's folder`, { cause });
  }
  folder.search = '';
  folder.hash = '';
  if (folder.pathname.endsWith('/bundle.json')) folder.pathname = folder.pathname.slice(0, -'bundle.json'.length);
  if (!folder.pathname.endsWith('/')) folder.pathname += '/';
  return folder;
}

/** Return the address of a bundle's file; `#`, `?` and `%` in its name are part of the name. */
export function fileUrl(folder: URL, path: string): URL {
  return new URL(path.split('/').map(encodeURIComponent).join('/'), folder);
}
