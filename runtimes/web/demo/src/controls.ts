/** The tool bar, the downloads and the settings. */

import { byId, setAttribute, setText } from './dom.js';
import { saveCoco, saveCutout, saveOverlay, shownObjects } from './downloads.js';
import type { Editor } from './editor.js';
import type { PictureInput } from './picture_input.js';
import type { Session } from './session.js';
import { wordsFor } from './words.js';

export class Controls {
  constructor(
    private readonly session: Session,
    private readonly editor: Editor,
    private readonly input: PictureInput,
    private readonly notice: (text: string) => void,
  ) {
    this.listenToTools();
    this.listenToDownloads();
    byId('where').addEventListener('change', ({ target }) => {
      void session.encodeOn((target as HTMLInputElement).value === 'server' ? 'server' : 'browser');
    });
    const dialog = byId<HTMLDialogElement>('help-dialog');
    onClick('help', () => {
      dialog.showModal();
    });
  }

  everything(): void {
    const pointsPerSide = Number(byId<HTMLSelectElement>('grid').value);
    void this.editor.everything({ pointsPerSide, unsure: byId<HTMLInputElement>('unsure').checked });
  }

  render(): void {
    this.renderTools();
    this.renderSettings();
  }

  private renderTools(): void {
    const { editor } = this;
    setDisabled('undo', !editor.canUndo);
    setDisabled('redo', !editor.canRedo);
    setDisabled('new-object', editor.scene.selected === null);
    setDisabled('everything', this.session.image === null || editor.everythingDone !== null);
    setAttribute(byId('tool-point'), 'aria-pressed', String(editor.tool === 'point'));
    setAttribute(byId('tool-point'), 'aria-disabled', String(editor.boxesOnly));
    byId('tool-point').title = editor.boxesOnly ? 'This model answers to boxes' : '';
    setAttribute(byId('tool-box'), 'aria-pressed', String(editor.tool === 'box'));
    const none = shownObjects(editor.scene, editor.answers).length === 0;
    for (const id of ['save-overlay', 'save-cutout', 'save-coco']) setDisabled(id, none);
  }

  private renderSettings(): void {
    const { where, discovered } = this.session;
    const { server } = this.session.options;
    for (const input of byId('where').querySelectorAll('input')) {
      input.checked = input.value === where;
      input.disabled = input.value === 'server' && server === null;
    }
    const privacy =
      where === 'server' && server
        ? `Pictures are sent to ${server.host}; masks are made here.`
        : 'Pictures stay on this device: the model runs in your browser.';
    const note = server ? privacy : 'This page knows no server; ?server= in its address names one.';
    // Nothing is promised before it is known.
    setText(byId('privacy'), discovered ? privacy : '');
    setText(byId('where-note'), discovered ? note : '');
  }

  private listenToTools(): void {
    const { editor, input } = this;
    onClick('tool-point', () => {
      input.setTool('point');
    });
    onClick('tool-box', () => {
      input.setTool('box');
    });
    onClick('undo', () => {
      editor.undo();
    });
    onClick('redo', () => {
      editor.redo();
    });
    onClick('new-object', () => {
      input.newObject();
    });
    onClick('everything', () => {
      this.everything();
    });
    onClick('busy-cancel', () => {
      editor.cancelEverything();
    });
  }

  private listenToDownloads(): void {
    const listen = (id: string, save: (...shown: Parameters<typeof saveOverlay>) => unknown) => {
      onClick(id, () => {
        void this.save(save);
      });
    };
    listen('save-overlay', saveOverlay);
    listen('save-cutout', saveCutout);
    listen('save-coco', saveCoco);
  }

  private async save(write: (...shown: Parameters<typeof saveOverlay>) => unknown): Promise<void> {
    const { picture } = this.session;
    if (!picture) return;
    try {
      await write(picture, shownObjects(this.editor.scene, this.editor.answers));
    } catch (thrown) {
      this.notice(wordsFor(thrown).title);
    }
  }
}

function onClick(id: string, act: () => void): void {
  byId(id).addEventListener('click', act);
}

/** A button that is switched off while it has the focus leaves it to the picture, not to nothing. */
function setDisabled(id: string, disabled: boolean): void {
  const button = byId<HTMLButtonElement>(id);
  if (disabled && document.activeElement === button) byId('area').focus({ preventScroll: true });
  button.disabled = disabled;
}
