/** What the page's address says: which bundle, which server, and where pictures are encoded. */

import type { DeviceChoice } from 'sam-export-web';

export type Where = 'browser' | 'server';

export interface PageOptions {
  /** The folder of the bundle. */
  readonly bundle: URL;
  /** The root of a `sam-export serve`, null without one. */
  readonly server: URL | null;
  readonly where: Where;
  readonly device: DeviceChoice;
  readonly variant: string | undefined;
  readonly threads: number | undefined;
}

const DEFAULT_BUNDLE = './bundle/';
export const SERVER_BUNDLE = 'v1/bundle/';
/** For a server that takes the connection and says nothing. */
const DISCOVER_MS = 10_000;
const DEVICES: readonly DeviceChoice[] = ['auto', 'webgpu', 'wasm'];

/**
 * Return the options of an address.
 *
 * `?bundle=` names the bundle's folder, by default `bundle/` beside the page. `?server=` names a `sam-export serve`,
 * whose bundle is the default then. `?encode=browser|server`, `?device=`, `?variant=`, `?threads=` are what they say.
 */
export function readOptions(page: URL): PageOptions {
  const asked = page.searchParams;
  const server = asked.has('server') ? folder(asked.get('server')!, page) : null;
  const bundle = folder(asked.get('bundle') ?? (server ? new URL(SERVER_BUNDLE, server).href : DEFAULT_BUNDLE), page);
  const threads = Number(asked.get('threads') ?? NaN);
  return {
    bundle,
    server,
    where: server && asked.get('encode') !== 'browser' ? 'server' : 'browser',
    device: DEVICES.find((device) => device === asked.get('device')) ?? 'auto',
    variant: asked.get('variant') ?? undefined,
    threads: Number.isNaN(threads) ? undefined : threads,
  };
}

/** Return the options of a page that a server may have sent: where no bundle lies beside it, the server's is asked. */
export async function discover(page: URL, patienceMs = DISCOVER_MS): Promise<PageOptions> {
  const options = readOptions(page);
  if (page.searchParams.has('bundle') || options.server) return options;
  if (await hasManifest(options.bundle, patienceMs)) return options;
  const server = new URL('./', page);
  server.search = '';
  const bundle = new URL(SERVER_BUNDLE, server);
  if (!(await hasManifest(bundle, patienceMs))) return options;
  return { ...options, bundle, server, where: page.searchParams.get('encode') === 'browser' ? 'browser' : 'server' };
}

async function hasManifest(bundle: URL, patienceMs: number): Promise<boolean> {
  try {
    const signal = AbortSignal.timeout(patienceMs);
    const response = await fetch(new URL('bundle.json', bundle), { cache: 'no-cache', signal });
    return response.ok && (response.headers.get('Content-Type') ?? '').includes('json');
  } catch {
    return false;
  }
}

function folder(address: string, page: URL): URL {
  const url = new URL(address, page);
  if (!url.pathname.endsWith('/')) url.pathname += '/';
  return url;
}
