/** The worker for WebAssembly. */

import * as ort from 'onnxruntime-web/wasm';
import { serve } from './worker_server.js';

serve(ort, 'wasm');
