/** Remembers which devices have passed the self-test of a bundle, so that it runs once and not on every visit. */

import type { Adapter, Attempt } from './devices.js';
import type { Manifest } from './manifest.js';
import type { EngineInfo } from './protocol.js';
import { sha256Hex } from './sha256.js';

/** Return the address under which a verdict is kept: it holds for one browser, device, engine and set of files. */
export async function verdictKey(
  manifest: Manifest,
  { device, variant }: Attempt,
  engine: EngineInfo,
  adapter: Adapter | null,
): Promise<string> {
  const subject = JSON.stringify([
    Object.values(variant.graphs).flatMap((graph) => graph.files.map((file) => file.sha256)),
    [manifest.preprocessing, manifest.mask_rule, manifest.selftest],
    [device, engine, device === 'webgpu' ? adapter : null, navigator.userAgent],
  ]);
  return `/.sam-export/passed/${await sha256Hex(new TextEncoder().encode(subject))}`;
}

export async function hasPassed(cache: Cache | null, key: string): Promise<boolean> {
  return (await cache?.match(key)) !== undefined;
}

export async function rememberPassed(cache: Cache | null, key: string): Promise<void> {
  await cache?.put(key, new Response('passed')).catch(() => undefined);
}
