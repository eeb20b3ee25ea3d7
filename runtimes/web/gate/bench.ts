/** The package in a page, timed for `python -m sam_export.benchmarks.browser`: bundles by name, one call at a time. */

import { Sam, type SamImage, type SamInfo } from '../src/index.js';
import { answerDesk, type Message } from './messages.js';

interface Opened {
  readonly sam: Sam;
  readonly image: SamImage | null;
}

interface Asked {
  readonly method: 'load' | 'encode' | 'click' | 'first';
  readonly name: string;
  readonly folder: string;
  readonly variant: string | undefined;
  readonly threads: number;
  readonly box: readonly [number, number, number, number];
}

const opened = new Map<string, Opened>();
const worker = () => new Worker('./wasm-worker.js', { type: 'module' });

async function answer({ header, tensors }: Message): Promise<Message> {
  const asked = header as unknown as Asked;
  const picture = new Blob(Object.values(tensors).map(({ data }) => data as BlobPart));
  const started = performance.now();
  const info = await done(asked, picture);
  const ended = performance.now();
  // `first` counts from the moment that the browser began to open this page.
  const milliseconds = asked.method === 'first' ? ended : ended - started;
  return { header: { milliseconds, info }, tensors: {} };
}

async function done(asked: Asked, picture: Blob): Promise<SamInfo | null> {
  const one = opened.get(asked.name);
  switch (asked.method) {
    case 'load':
      return load(asked);
    case 'encode':
      one!.image?.dispose();
      opened.set(asked.name, { sam: one!.sam, image: await one!.sam.encode(picture) });
      return null;
    case 'click':
      await one!.image!.predict({ box: asked.box }, { multimask: false });
      return null;
    case 'first': {
      const info = await load(asked);
      const image = await opened.get(asked.name)!.sam.encode(picture);
      await image.predict({ box: asked.box }, { multimask: false });
      return info;
    }
  }
}

async function load({ name, folder, variant, threads }: Asked): Promise<SamInfo> {
  const sam = await Sam.load(`./bundles/${folder}/`, { device: 'wasm', variant, threads, worker });
  opened.set(name, { sam, image: null });
  return sam.info;
}

void answerDesk(new URL(location.href).searchParams.get('desk')!, answer);
