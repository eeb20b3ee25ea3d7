/** The built demo beside a bundle, served as any static host would, with or without cross-origin isolation. */

import { createReadStream, existsSync, readFileSync, statSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { extname, join } from 'node:path';
import type { Manifest } from '../../src/manifest.js';

const PAGE = process.env['SAM_DEMO_PAGE'] ?? '';
const TYPES: Record<string, string> = {
  '.html': 'text/html',
  '.js': 'text/javascript',
  '.css': 'text/css',
  '.svg': 'image/svg+xml',
  '.jpg': 'image/jpeg',
  '.json': 'application/json',
  '.wasm': 'application/wasm',
};
const ISOLATION = {
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Embedder-Policy': 'require-corp',
};

/** What the server does in place of sending a file. */
export type Fault = (request: IncomingMessage, response: ServerResponse, file: string) => void;

export interface DemoSite {
  /** The page's address; `kind` says how it is served. */
  page(kind: 'isolated' | 'plain', query?: string): string;
  /** By the end of a path. */
  readonly faults: Map<string, Fault>;
  /** Paths that were asked for. */
  readonly asked: string[];
  close(): Promise<void>;
}

/** Serve the built page, with the bundle at `bundle/` beside it and where a `sam-export serve` has it. */
export async function startDemo(bundle: string): Promise<DemoSite> {
  const [asked, faults] = [[] as string[], new Map<string, Fault>()];
  const server = createServer((request, response) => {
    const [, kind, ...rest] = decodeURIComponent(new URL(request.url!, 'http://x').pathname).split('/');
    const path = rest.join('/') || 'index.html';
    asked.push(path);
    const inBundle = /^(?:v1\/)?bundle\/(.*)/.exec(path)?.[1];
    const file = inBundle === undefined ? join(PAGE, path) : join(bundle, inBundle);
    const headers = { ...(kind === 'isolated' ? ISOLATION : {}), 'Content-Type': TYPES[extname(path)] ?? 'text/plain' };
    for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
    const fault = [...faults].find(([end]) => path.endsWith(end))?.[1];
    if (fault) fault(request, response, file);
    else if (existsSync(file) && statSync(file).isFile()) createReadStream(file).pipe(response);
    else response.writeHead(404).end('not found');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    page: (kind, query = '') => `http://127.0.0.1:${port}/${kind}/${query}`,
    faults,
    asked,
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** Send the manifest with other kinds of prompt. */
export function answersTo(...prompts: readonly string[]): Fault {
  return (_, response, file) => {
    const manifest = JSON.parse(readFileSync(file, 'utf8')) as { mask_rule: { prompts: readonly string[] } };
    manifest.mask_rule.prompts = prompts;
    response.end(JSON.stringify(manifest));
  };
}

/** Send the manifest of a web bundle: int8 and fp32 for WebAssembly, fp16 and fp32 for WebGPU, of the same graphs. */
export const ofWebBundle: Fault = (_, response, file) => {
  const manifest = JSON.parse(readFileSync(file, 'utf8')) as Manifest;
  const [{ graphs }] = manifest.variants as [Manifest['variants'][number]];
  const variant = (storage: string, ...devices: readonly string[]) => {
    const recipe = (name: keyof typeof graphs) => ({ ...graphs[name], recipe: { ...graphs[name].recipe, storage } });
    const stored = { image_encoder: recipe('image_encoder'), mask_decoder: recipe('mask_decoder') };
    return { ...manifest.variants[0], name: storage, devices, graphs: stored };
  };
  const variants = [variant('int8', 'wasm'), variant('fp16', 'webgpu'), variant('fp32', 'wasm', 'webgpu')];
  response.end(JSON.stringify({ ...manifest, target: 'web', variants }));
};
