/** The page's parts, wired: what a person does reaches the editor and the session, what changes there is drawn. */

import { Controls } from './controls.js';
import { byId, setAttribute } from './dom.js';
import { Editor } from './editor.js';
import { startIntake } from './intake.js';
import { ObjectsPanel } from './objects_panel.js';
import { PictureInput } from './picture_input.js';
import { Session } from './session.js';
import { Stage } from './stage.js';
import { Status, type StatusActions } from './status.js';
import { startTheme } from './theme.js';
import { TimingPanel } from './timing_panel.js';
import { wordsFor } from './words.js';

export class App {
  private readonly session: Session;
  private readonly editor: Editor;
  private readonly status: Status;
  private readonly stage: Stage;
  private readonly input: PictureInput;
  private readonly controls: Controls;
  private readonly objects: ObjectsPanel;
  private readonly timing = new TimingPanel();
  private readonly area = byId('area');
  private highlighted: number | null = null;
  private drawing = false;
  private wasReady = false;

  /** Pictures are taken from here on; `start` looks for the model. */
  constructor(page: URL) {
    const changed = () => {
      this.changed();
    };
    this.session = new Session(page, changed);
    this.status = new Status(this.remedies());
    const events = {
      changed,
      announce: this.status.announce.bind(this.status),
      notice: this.status.notice.bind(this.status),
      endNotice: this.status.endNotice.bind(this.status),
    };
    this.editor = new Editor(this.session, events);
    this.stage = new Stage(this.area, byId<HTMLCanvasElement>('picture'), byId<HTMLCanvasElement>('overlay'));
    this.input = new PictureInput(this.area, this.session, this.editor, events, () => {
      this.controls.everything();
    });
    this.controls = new Controls(this.session, this.editor, this.input, events.notice);
    this.objects = new ObjectsPanel(this.editor, (id) => {
      this.highlighted = id;
      changed();
    });
    startTheme(events.announce);
    this.listenForPictures();
    new ResizeObserver(changed).observe(this.area);
  }

  async start(): Promise<void> {
    this.changed();
    await this.session.start();
  }

  private listenForPictures(): void {
    startIntake({
      take: (file, name) => {
        void this.take(file, name);
      },
      refuse: (error) => {
        this.session.refusedPicture = wordsFor(error);
        this.changed();
      },
    });
  }

  private async take(file: Blob, name: string): Promise<void> {
    if (!(await this.session.open(file, name))) return;
    this.editor.reset();
    this.input.reset();
    if (this.session.picture?.wasTransparent) this.status.notice('Transparent parts are shown on white');
    this.area.focus({ preventScroll: true });
  }

  private remedies(): StatusActions {
    const { session } = this;
    return {
      retryLoad: () => void session.load(),
      retryAfresh: () => void session.loadAfresh(),
      retryEncode: () => void session.encode(),
      encodeInBrowser: () => void session.encodeOn('browser'),
      encodeOnServer: () => void session.encodeOn('server'),
      otherPicture: () => {
        byId('file').click();
      },
      dismissPicture: () => {
        session.refusedPicture = null;
        this.changed();
      },
    };
  }

  /** Draw what has changed, once a frame. */
  private changed(): void {
    if (this.drawing) return;
    this.drawing = true;
    requestAnimationFrame(() => {
      this.drawing = false;
      this.noticeReady();
      this.render();
    });
  }

  private noticeReady(): void {
    const ready = this.session.image !== null;
    if (this.editor.boxesOnly) this.editor.tool = 'box';
    if (ready && !this.wasReady) {
      this.status.announce('The picture is ready');
      this.editor.askMissing();
    }
    this.wasReady = ready;
  }

  private render(): void {
    const { session, editor } = this;
    byId('start').hidden = session.picture !== null;
    byId('tools').hidden = session.picture === null;
    this.renderArea();
    this.controls.render();
    this.status.render(session, editor);
    this.objects.render(editor.scene, editor.answers);
    this.timing.render(session);
    this.drawStage();
    this.input.view = this.stage.view;
  }

  private drawStage(): void {
    const { scene, answers, preview } = this.editor;
    const { dragged, cursor, corner, byKeys } = this.input;
    const visible = scene.objects.filter((one) => one.visible);
    this.stage.draw({
      picture: this.session.picture,
      objects: visible.map(({ id, prompt }) => {
        return { id, prompt, answer: answers.get(prompt), selected: id === scene.selected };
      }),
      highlighted: this.highlighted,
      preview,
      previewId: scene.selected ?? scene.nextId,
      draggedBox: dragged,
      cursor: byKeys && document.activeElement === this.area ? cursor : null,
      corner,
    });
  }

  /** With a picture, the area takes keys, and says so. */
  private renderArea(): void {
    const { picture, image } = this.session;
    setAttribute(this.area, 'tabindex', picture ? '0' : '-1');
    setAttribute(this.area, 'data-ready', String(image !== null));
    if (!picture) {
      for (const name of ['role', 'aria-label', 'aria-roledescription']) this.area.removeAttribute(name);
      return;
    }
    const size = `${picture.width} by ${picture.height} pixels`;
    setAttribute(this.area, 'role', 'application');
    setAttribute(this.area, 'aria-roledescription', 'picture to segment');
    setAttribute(this.area, 'aria-label', `${picture.name}, ${size}. Arrow keys move a cursor, Enter asks there.`);
  }
}
