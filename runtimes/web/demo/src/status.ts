/** What the page is doing, and what went wrong: the chip, the progress card, the problem card, hints and toasts. */

import { byId, element, setAttribute, setText } from './dom.js';
import type { Editor } from './editor.js';
import { megabytes } from './format.js';
import type { ModelState, Session } from './session.js';
import type { Words } from './words.js';

export interface StatusActions {
  readonly retryLoad: () => void;
  readonly retryAfresh: () => void;
  readonly retryEncode: () => void;
  readonly encodeInBrowser: () => void;
  readonly encodeOnServer: () => void;
  readonly otherPicture: () => void;
  readonly dismissPicture: () => void;
}

interface Busy {
  readonly title: string;
  readonly text: string;
  /** 0..1, null where nobody knows. */
  readonly done: number | null;
  readonly stoppable: boolean;
}

interface Remedy {
  readonly label: string;
  readonly act: () => void;
}

const TOAST_MS = 4000;
const ANNOUNCE_MS = 60;
/** What fetching everything again may mend. */
const OF_THE_FILES = ['FILE_DAMAGED', 'BUNDLE_INVALID', 'CONTRACT', 'ENGINE_FAILED', 'SELFTEST_FAILED'];

export class Status {
  private toastTimer: ReturnType<typeof setTimeout> | undefined;
  private liveTimer: ReturnType<typeof setTimeout> | undefined;
  private problem: Words | null = null;
  private lastBusy = '';

  constructor(private readonly actions: StatusActions) {}

  render(session: Session, editor: Editor): void {
    this.renderChip(session);
    this.renderBusy(busyOf(session, editor));
    this.renderProblem(session);
    renderHint(session, editor);
  }

  announce(text: string): void {
    clearTimeout(this.liveTimer);
    const live = byId('live');
    // Emptied first, so that the same words are said again.
    live.textContent = '';
    this.liveTimer = setTimeout(() => {
      live.textContent = text;
    }, ANNOUNCE_MS);
  }

  notice(text: string): void {
    const toast = byId('toast');
    toast.textContent = text;
    toast.classList.add('on');
    clearTimeout(this.toastTimer);
    this.toastTimer = setTimeout(() => {
      this.endNotice();
    }, TOAST_MS);
    this.announce(text);
  }

  endNotice(): void {
    clearTimeout(this.toastTimer);
    byId('toast').classList.remove('on');
  }

  private renderChip({ model }: Session): void {
    setAttribute(byId('chip'), 'data-state', model.kind);
    setText(byId('chip-text'), chipText(model));
    setText(byId('chip-more'), chipAside(model));
  }

  private renderBusy(busy: Busy | null): void {
    byId('busy').hidden = busy === null;
    if (busy && busy.title !== this.lastBusy) this.announce(busy.title);
    this.lastBusy = busy?.title ?? '';
    if (!busy) return;
    setText(byId('busy-title'), busy.title);
    setText(byId('busy-text'), busy.text);
    byId('busy-cancel').hidden = !busy.stoppable;
    const bar = byId('busy-bar');
    bar.classList.toggle('unknown', busy.done === null);
    if (busy.done === null) bar.removeAttribute('aria-valuenow');
    else setAttribute(bar, 'aria-valuenow', String(Math.round(busy.done * 100)));
    bar.firstElementChild!.setAttribute('style', `--done: ${busy.done ?? 0}`);
  }

  private renderProblem(session: Session): void {
    const { words, remedies } = this.problemOf(session);
    byId('problem').hidden = words === null;
    if (words === this.problem) return;
    this.problem = words;
    byId('problem').replaceChildren(...(words ? [problemCard(words, remedies)] : []));
  }

  private problemOf({ model, encoding, refusedPicture, options, where }: Session): {
    words: Words | null;
    remedies: Remedy[];
  } {
    const { actions } = this;
    const browser = { label: 'Read it in the browser', act: actions.encodeInBrowser };
    if (model.kind === 'failed') {
      const afresh = { label: 'Fetch all files again', act: actions.retryAfresh };
      const remedies = [{ label: 'Try again', act: actions.retryLoad }];
      if (OF_THE_FILES.includes(model.words.code)) remedies.push(afresh);
      // A server may keep its encoder to itself.
      if (options.server && where === 'browser')
        remedies.push({ label: 'Use the server', act: actions.encodeOnServer });
      return { words: model.words, remedies };
    }
    if (refusedPicture) {
      const remedies = [
        { label: 'Choose another', act: actions.otherPicture },
        { label: 'Close', act: actions.dismissPicture },
      ];
      return { words: refusedPicture, remedies };
    }
    if (encoding.kind !== 'failed') return { words: null, remedies: [] };
    const remedies = [{ label: 'Try again', act: actions.retryEncode }];
    if (options.server && where === 'server') remedies.push(browser);
    remedies.push({ label: 'Choose another', act: actions.otherPicture });
    return { words: encoding.words, remedies };
  }
}

function chipText(model: ModelState): string {
  if (model.kind === 'failed') return 'No model';
  return model.kind === 'ready' ? model.sam.info.model.model : loadingText(model);
}

/** What a small screen leaves out. */
function chipAside(model: ModelState): string {
  if (model.kind !== 'ready') return '';
  const { variant, device } = model.sam.info;
  return `${variant} · ${device === 'wasm' ? 'WebAssembly' : 'WebGPU'}`;
}

function loadingText({ stage, loadedBytes, totalBytes }: Extract<ModelState, { kind: 'loading' }>): string {
  if (stage === 'manifest') return 'Looking for the model';
  if (stage === 'files') return totalBytes ? `${megabytes(loadedBytes)} of ${megabytes(totalBytes)} MB` : 'Downloading';
  return stage === 'engine' ? 'Starting the engine' : 'Checking its masks';
}

function busyOf({ model, encoding, where, picture, options }: Session, editor: Editor): Busy | null {
  if (editor.everythingDone !== null) {
    const done = editor.everythingDone;
    return { title: 'Segmenting everything', text: `${Math.round(done * 100)} %`, done, stoppable: true };
  }
  if (!picture) return null;
  if (encoding.kind === 'encoding') {
    const remote = where === 'server' && options.server;
    const title = remote ? 'Reading the picture on the server' : 'Reading the picture';
    const text = remote ? remote.host : 'Once a picture; every click after it is quick';
    return { title, text, done: null, stoppable: false };
  }
  if (encoding.kind !== 'waiting' || model.kind !== 'loading') return null;
  const downloading = model.stage === 'files' && model.totalBytes > 0;
  const done = downloading ? model.loadedBytes / model.totalBytes : null;
  const text = `${loadingText(model)}. ${downloading ? 'Kept for the next visit.' : 'The picture is next.'}`;
  // One title for all of it, which is said once.
  return { title: 'Getting the model', text, done, stoppable: false };
}

function renderHint({ encoding }: Session, editor: Editor): void {
  const hint = byId('hint');
  const text = encoding.kind === 'ready' && editor.everythingDone === null ? hintText(editor) : '';
  hint.hidden = text === '';
  setText(hint, text);
}

function hintText({ boxesOnly, scene, tool }: Editor): string {
  const finger = matchMedia('(pointer: coarse)').matches;
  if (scene.objects.length > 1) return '';
  if (boxesOnly) {
    if (scene.objects.length === 1) return 'Drag a corner to adjust it, or draw the next box';
    return finger ? 'Drag a box, or tap two corners' : 'Drag a box around an object';
  }
  if (scene.selected !== null)
    return finger ? 'Tap to add, long-press to take away' : 'Click to add, Shift-click to take away';
  if (tool === 'box') return finger ? 'Drag a box, or tap two corners' : 'Drag a box, or click two corners';
  return finger ? 'Tap an object, or drag a box around it' : 'Click an object, or drag a box around it';
}

function problemCard({ title, advice, code, detail }: Words, remedies: readonly Remedy[]): HTMLElement {
  const buttons = remedies.map(({ label, act }, index) => {
    const button = element('button', { class: index === 0 ? 'button primary' : 'button', type: 'button' }, label);
    button.addEventListener('click', act);
    return button;
  });
  const details = element('details', {}, element('summary', {}, 'Details'), element('p', { class: 'detail' }, detail));
  if (code !== 'PAGE') details.querySelector('summary')!.append(element('span', { class: 'code' }, code));
  return element(
    'div',
    { class: 'problem-card' },
    element('h2', {}, title),
    element('p', {}, advice),
    element('div', { class: 'buttons' }, ...buttons),
    details,
  );
}
