/** The worker for WebGPU. */

import * as ort from 'onnxruntime-web/webgpu';
import { serve } from './worker_server.js';

serve(ort, 'webgpu');
