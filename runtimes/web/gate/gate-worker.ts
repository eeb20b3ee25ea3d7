/** One graph in a worker, opened as the package opens it, run for sam-export's gate. */

import * as ort from 'onnxruntime-web/wasm';
import type { GraphContract } from '../src/contract.js';
import { OrtSession, type Tensors } from '../src/ort_session.js';
import { answerDesk, type Message, type Values } from './messages.js';

let session: OrtSession | null = null;

async function answer({ header, tensors }: Message): Promise<Message> {
  if (header['method'] === 'open') return open(header as unknown as OpenHeader, tensors['graph']!);
  const feeds = Object.entries(tensors).map(([name, { shape, data }]) => [
    name,
    new ort.Tensor(data as Float32Array, shape),
  ]);
  const started = performance.now();
  const outputs = await session!.run(Object.fromEntries(feeds) as Tensors);
  const milliseconds = performance.now() - started;
  const found = Object.entries(outputs).map(([name, { dims, data }]) => [
    name,
    { shape: dims, data: data as Float32Array },
  ]);
  return { header: { milliseconds }, tensors: Object.fromEntries(found) as Record<string, Values> };
}

interface OpenHeader {
  readonly contract: GraphContract;
  readonly threads: number;
}

async function open({ contract, threads }: OpenHeader, graph: Values): Promise<Message> {
  ort.env.wasm.numThreads = threads;
  ort.env.logLevel = 'error';
  session = await OrtSession.open(ort, graph.data as Uint8Array, contract, 'wasm', false);
  return { header: { version: ort.env.versions.web ?? 'unknown', threads: ort.env.wasm.numThreads }, tensors: {} };
}

// onnxruntime-web starts its threads from this same script, under this name.
if (!self.name.startsWith('em-pthread')) {
  void answerDesk(new URL(location.href).searchParams.get('desk')!, answer).finally(close);
}
