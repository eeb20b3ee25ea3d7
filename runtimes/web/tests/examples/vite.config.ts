/** Builds `examples/web` with the package's sources in the place of the installed package. */

import { fileURLToPath } from 'node:url';
import { defineConfig, mergeConfig } from 'vite';
// @ts-expect-error: the example is JavaScript, which has no types.
import example from '../../../../examples/web/vite.config.js';

const path = (relative: string) => fileURLToPath(new URL(relative, import.meta.url));

export default mergeConfig(
  defineConfig(example as object),
  defineConfig({
    root: path('../../../../examples/web'),
    publicDir: false,
    resolve: { alias: { 'sam-export-web': path('../../src/index.ts') } },
    build: { emptyOutDir: true },
    logLevel: 'error',
  }),
);
