import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

export default defineConfig({
  // The demo imports the package by its name.
  resolve: { alias: { 'sam-export-web': fileURLToPath(new URL('src/index.ts', import.meta.url)) } },
  test: { include: ['**/*.test.ts'], testTimeout: 240_000, hookTimeout: 120_000, fileParallelism: false },
});
