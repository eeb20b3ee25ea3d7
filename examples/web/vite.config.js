import { fileURLToPath } from 'node:url';

/** With both headers the page may use threads; it runs without them, too. */
const headers = { 'Cross-Origin-Opener-Policy': 'same-origin', 'Cross-Origin-Embedder-Policy': 'require-corp' };
const input = ['index.html', 'server.html'].map((name) => fileURLToPath(new URL(name, import.meta.url)));

export default {
  base: './', // relative addresses: the built page may be served from any folder
  build: { target: 'es2022', rollupOptions: { input } },
  optimizeDeps: { exclude: ['sam-export-web', 'onnxruntime-web'] }, // workers and .wasm files are found by address
  worker: { format: 'es' },
  server: { headers },
  preview: { headers },
};
