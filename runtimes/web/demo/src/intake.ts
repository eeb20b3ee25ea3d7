/** Ways a picture comes in: a file button, drop, paste, and the samples. */

import { byId, element } from './dom.js';
import { PageError } from './words.js';

export interface Intake {
  take(file: Blob, name: string): void;
  refuse(error: PageError): void;
}

interface Sample {
  readonly file: string;
  readonly title: string;
}

const SAMPLES: readonly Sample[] = [
  { file: 'coins.jpg', title: 'Coins' },
  { file: 'cell.jpg', title: 'Cell' },
  { file: 'retina.jpg', title: 'Retina' },
  { file: 'coffee.jpg', title: 'Coffee' },
];

export function startIntake(intake: Intake): void {
  const input = byId<HTMLInputElement>('file');
  for (const id of ['choose', 'other']) {
    byId(id).addEventListener('click', () => {
      input.click();
    });
  }
  input.addEventListener('change', () => {
    const [file] = input.files ?? [];
    if (file) intake.take(file, file.name);
    // The same file may be chosen again.
    input.value = '';
  });
  document.addEventListener('paste', (event) => {
    taken(event.clipboardData, event, intake);
  });
  startDrop(intake);
  byId('samples').replaceChildren(...SAMPLES.map((sample) => sampleItem(sample, intake)));
}

function startDrop(intake: Intake): void {
  const dropping = byId('dropping');
  let depth = 0;
  const show = (on: boolean) => {
    dropping.classList.toggle('on', on);
  };
  document.addEventListener('dragenter', (event) => {
    if (!event.dataTransfer?.types.includes('Files')) return;
    depth++;
    show(true);
  });
  document.addEventListener('dragleave', () => {
    depth = Math.max(0, depth - 1);
    show(depth > 0);
  });
  document.addEventListener('dragover', (event) => {
    event.preventDefault();
  });
  document.addEventListener('drop', (event) => {
    event.preventDefault();
    depth = 0;
    show(false);
    taken(event.dataTransfer, event, intake);
  });
}

function taken(transfer: DataTransfer | null, event: Event, intake: Intake): void {
  const file = [...(transfer?.files ?? [])].find(({ type }) => type.startsWith('image/')) ?? transfer?.files[0];
  if (!file) return;
  event.preventDefault();
  intake.take(file, file.name || 'pasted.png');
}

function sampleItem({ file, title }: Sample, intake: Intake): HTMLLIElement {
  const address = `./samples/${file}`;
  const image = element('img', { src: address, alt: '', width: 112, height: 84, decoding: 'async' });
  const button = element('button', { class: 'sample', type: 'button' }, image, element('span', {}, title));
  button.addEventListener('click', () => {
    void fetchSample(address, file, intake);
  });
  return element('li', {}, button);
}

async function fetchSample(address: string, name: string, intake: Intake): Promise<void> {
  try {
    const response = await fetch(address);
    if (!response.ok) throw new Error(`${response.url}: ${response.status}`);
    intake.take(await response.blob(), name);
  } catch (thrown) {
    const detail = thrown instanceof Error ? thrown.message : String(thrown);
    intake.refuse(
      new PageError('The sample could not be downloaded', 'Check the connection, or choose your own.', detail),
    );
  }
}
