/** A server for the package, onnxruntime-web's files and some bundles, with and without cross-origin isolation. */

import { copyFileSync, createReadStream, existsSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const PACKAGE = fileURLToPath(new URL('../../', import.meta.url));
const ORT = join(PACKAGE, 'node_modules/onnxruntime-web/dist');
const WASM_FILES = ['ort-wasm-simd-threaded.wasm', 'ort-wasm-simd-threaded.asyncify.wasm'];
const TYPES: Record<string, string> = {
  '.html': 'text/html',
  '.js': 'text/javascript',
  '.json': 'application/json',
  '.wasm': 'application/wasm',
};
const ISOLATION = {
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Embedder-Policy': 'require-corp',
};
const PAGE = `<!doctype html><link rel="icon" href="data:,"><script type="module">
  Object.assign(globalThis, await import('./index.js')); globalThis.ready = true;
</script>`;

/** What the server does in place of sending a file. */
export type Fault = (response: ServerResponse, file: string) => void;

export interface Site {
  /** The page whose globals are the package's names; `isolated` or `plain`. */
  page(kind: 'isolated' | 'plain'): string;
  /** Paths of bundle files that were asked for since `forget`. */
  readonly asked: string[];
  /** By the end of a path. */
  readonly faults: Map<string, Fault>;
  forget(): void;
  close(): Promise<void>;
}

/** Bundle the package as an application would, and serve it; `/isolated/…` and `/plain/…` differ in their headers. */
export async function startSite(bundles: string): Promise<Site> {
  const folder = mkdtempSync(join(tmpdir(), 'sam-web-'));
  await bundlePackage(folder);
  const [asked, faults] = [[] as string[], new Map<string, Fault>()];
  const server = createServer((request, response) => {
    answer(request, response, { folder, bundles, asked, faults });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    page: (kind) => `http://127.0.0.1:${port}/${kind}/index.html`,
    asked,
    faults,
    forget: () => {
      asked.length = 0;
      faults.clear();
    },
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      rmSync(folder, { recursive: true });
    },
  };
}

async function bundlePackage(folder: string): Promise<void> {
  const entryPoints = ['index', 'wasm-worker', 'webgpu-worker'].map((name) => join(PACKAGE, `src/${name}.ts`));
  await build({ entryPoints, outdir: folder, bundle: true, format: 'esm', target: 'es2022', logLevel: 'error' });
  for (const file of WASM_FILES) copyFileSync(join(ORT, file), join(folder, file));
}

interface Served {
  readonly folder: string;
  readonly bundles: string;
  readonly asked: string[];
  readonly faults: Map<string, Fault>;
}

function answer(request: IncomingMessage, response: ServerResponse, served: Served): void {
  const [, kind, ...rest] = decodeURIComponent(new URL(request.url!, 'http://x').pathname).split('/');
  const path = rest.join('/');
  const headers = { ...(kind === 'isolated' ? ISOLATION : {}), 'Content-Type': TYPES[extname(path)] ?? 'text/plain' };
  const inBundles = path.startsWith('bundles/');
  const file = inBundles ? join(served.bundles, path.slice('bundles/'.length)) : join(served.folder, path);
  if (inBundles) served.asked.push(path.slice('bundles/'.length));
  for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
  const fault = [...served.faults].find(([end]) => path.endsWith(end))?.[1];
  if (fault) fault(response, file);
  else if (path === 'index.html') response.end(PAGE);
  else if (existsSync(file) && statSync(file).isFile()) createReadStream(file).pipe(response);
  else response.writeHead(404).end('not found');
}
