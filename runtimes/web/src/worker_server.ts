/** The worker's side: it owns the engine and the encoded pictures, and serves one call at a time. */

import { decodeEmbedding } from './embedding_file.js';
import { SamError } from './errors.js';
import { segmentEverything } from './everything.js';
import type { Manifest } from './manifest.js';
import { type Device, engineError, type OrtModule, OrtSession } from './ort_session.js';
import { rgbPicture } from './pictures.js';
import type { EngineInfo, FromWorker, ImageHandle, Method, Methods, OpenRequest, ToWorker } from './protocol.js';
import { runSelfTest } from './selftest.js';
import { type EncodedPicture, Segmenter } from './segmenter.js';

/** What a worker can do of `DedicatedWorkerGlobalScope`, whose types clash with those of pages. */
interface WorkerScope {
  readonly name: string;
  onmessage: ((event: MessageEvent<ToWorker>) => void) | null;
  postMessage(message: FromWorker, transfer: Transferable[]): void;
}

/** Serve calls from the page with one device. */
export function serve(ort: OrtModule, device: Device): void {
  const scope = globalThis as unknown as WorkerScope;
  // onnxruntime-web starts its threads from this same script, under this name.
  if (scope.name.startsWith('em-pthread')) return;
  const server = new WorkerServer(ort, device, (message, transfer) => {
    scope.postMessage(message, transfer);
  });
  scope.onmessage = ({ data }) => {
    server.receive(data);
  };
}

type Post = (message: FromWorker, transfer: Transferable[]) => void;
type Handlers = {
  [M in Method]: (params: Methods[M]['takes'], id: number) => Promise<Methods[M]['gives']> | Methods[M]['gives'];
};

class WorkerServer {
  private segmenter: Segmenter | null = null;
  private manifest: Manifest | null = null;
  private readonly pictures = new Map<number, EncodedPicture>();
  private readonly aborted = new Set<number>();
  private nextImage = 1;
  private last: Promise<void> = Promise.resolve();

  constructor(
    private readonly ort: OrtModule,
    private readonly device: Device,
    private readonly post: Post,
  ) {}

  receive(message: ToWorker): void {
    if ('abort' in message) {
      this.aborted.add(message.abort);
      return;
    }
    this.last = this.last.then(() => this.answer(message));
  }

  private async answer({ id, method, params }: Exclude<ToWorker, { abort: number }>): Promise<void> {
    try {
      const handler = this.handlers[method] as (params: unknown, id: number) => Promise<Methods[Method]['gives']>;
      const value = await handler(params, id);
      this.post({ id, value }, transferables(value));
    } catch (thrown) {
      const { code, message } = engineError(thrown, `${method} on ${this.device}`);
      this.post({ id, error: { code, message } }, []);
    }
    this.aborted.delete(id);
  }

  private readonly handlers: Handlers = {
    open: (request) => this.open(request),
    selfTest: async ({ picture, masks }) => {
      const { selftest } = this.manifest!;
      const decoded = { picture: await rgbPicture(picture), masks: await Promise.all(masks.map(rgbPicture)) };
      return runSelfTest(this.opened(), selftest, decoded, this.device);
    },
    encode: async ({ picture }) => this.keep(await this.opened().encode(await rgbPicture(picture))),
    loadEmbedding: async ({ bytes }) => this.keep(this.opened().restore(await decodeEmbedding(bytes))),
    predict: ({ image, prompt, multimask }) => this.opened().predict(this.picture(image), prompt, multimask),
    everything: ({ image, settings }, id) =>
      segmentEverything(this.opened(), this.picture(image), settings, async (done) => {
        this.post({ id, progress: done }, []);
        await messagesReceived();
        if (this.aborted.has(id)) throw new SamError('ABORTED', 'everything: aborted by the caller');
      }),
    release: ({ image }) => {
      const picture = this.pictures.get(image);
      if (picture) this.segmenter?.release(picture);
      this.pictures.delete(image);
      return null;
    },
  };

  private async open({ manifest, variant, encoder, decoder, threads, wasmPaths }: OpenRequest): Promise<EngineInfo> {
    const { wasm } = this.ort.env;
    wasm.numThreads = threads;
    if (wasmPaths !== null) wasm.wasmPaths = wasmPaths;
    this.ort.env.logLevel = 'error';
    const { graphs } = manifest.variants.find(({ name }) => name === variant)!;
    const open = async (name: keyof typeof graphs, graph: Blob) => {
      const bytes = new Uint8Array(await graph.arrayBuffer());
      return OrtSession.open(this.ort, bytes, graphs[name].contract, this.device, name === 'image_encoder');
    };
    // One after the other: onnxruntime-web cannot make two sessions at once.
    const image_encoder = encoder && (await open('image_encoder', encoder));
    const mask_decoder = await open('mask_decoder', decoder);
    this.manifest = manifest;
    this.segmenter = new Segmenter(this.ort, { image_encoder, mask_decoder }, manifest);
    return { engine: 'onnxruntime-web', version: this.ort.env.versions.web ?? 'unknown', threads: wasm.numThreads };
  }

  private keep(picture: EncodedPicture): ImageHandle {
    const id = this.nextImage++;
    this.pictures.set(id, picture);
    return { id, height: picture.originalHw[0], width: picture.originalHw[1] };
  }

  private opened(): Segmenter {
    if (!this.segmenter) throw new SamError('WORKER_FAILED', 'worker: no bundle was opened in it');
    return this.segmenter;
  }

  private picture(id: number): EncodedPicture {
    const picture = this.pictures.get(id);
    if (!picture) throw new SamError('DISPOSED', 'picture: it was disposed of; encode it again');
    return picture;
  }
}

/** Let messages that arrived meanwhile, an abort among them, be handled. */
function messagesReceived(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 0));
}

function transferables(value: Methods[Method]['gives']): Transferable[] {
  if (!Array.isArray(value)) return [];
  return value.flatMap((item) => ('mask' in item ? [item.mask.buffer, item.lowRes.buffer] : []));
}
