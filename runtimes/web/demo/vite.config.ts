import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vite';

/** Both headers let the page use threads; it runs without them, too. */
const ISOLATION = {
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Embedder-Policy': 'require-corp',
};

export default defineConfig({
  root: fileURLToPath(new URL('.', import.meta.url)),
  // Relative addresses: the folder may be served from anywhere.
  base: './',
  resolve: { alias: { 'sam-export-web': fileURLToPath(new URL('../src/index.ts', import.meta.url)) } },
  optimizeDeps: { exclude: ['onnxruntime-web'] },
  worker: { format: 'es' },
  build: { target: 'es2022', emptyOutDir: true, assetsInlineLimit: 0 },
  server: { headers: ISOLATION, fs: { allow: ['..'] } },
  preview: { headers: ISOLATION },
});
