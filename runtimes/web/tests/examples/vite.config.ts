/** Builds `examples/web` with the package's sources in the place of the installed package. */

import { fileURLToPath } from 'node:url';
import { defineConfig, mergeConfig } from 'vite';

const path = (relative: string) => fileURLToPath(new URL(relative, import.meta.url));
// By its path: it is JavaScript, whose types depend on what is installed beside it.
const { default: example } = (await import(path('../../../../examples/web/vite.config.js'))) as { default: object };

export default mergeConfig(
  defineConfig(example),
  defineConfig({
    root: path('../../../../examples/web'),
    publicDir: false,
    resolve: { alias: { 'sam-export-web': path('../../src/index.ts') } },
    build: { emptyOutDir: true },
    logLevel: 'error',
  }),
);
