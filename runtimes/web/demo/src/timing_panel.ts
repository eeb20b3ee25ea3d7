/** How long everything took, and on what it runs. */

import type { Device, LoadStage, Refusal } from 'sam-export-web';
import { byId, element } from './dom.js';
import { megabytes, milliseconds } from './format.js';
import type { Session } from './session.js';

type Fact = readonly [name: string, value: string];

const NAMES: Readonly<Record<Device, string>> = { webgpu: 'WebGPU', wasm: 'WebAssembly' };
const STAGES: readonly (readonly [LoadStage, string])[] = [
  ['files', 'Download'],
  ['engine', 'Start'],
  ['self-test', 'Self-test'],
];

export class TimingPanel {
  private shown = '';

  render(session: Session): void {
    const facts = [...runsOn(session), ...durations(session)];
    const text = JSON.stringify(facts);
    if (text === this.shown) return;
    this.shown = text;
    byId('timing').replaceChildren(
      ...facts.map(([name, value]) => {
        const wide = value.length > 34 ? 'fact wide' : 'fact';
        return element('div', { class: wide }, element('dt', {}, name), element('dd', {}, value));
      }),
    );
  }
}

function runsOn({ model }: Session): Fact[] {
  if (model.kind !== 'ready') return [];
  const { info } = model.sam;
  const threads = info.threads === 1 ? '1 thread' : `${info.threads} threads`;
  const device =
    info.device === 'wasm' ? `${NAMES.wasm}, ${threads}` : `${NAMES.webgpu}${info.adapter ? `, ${info.adapter}` : ''}`;
  return [
    ['Model', `${info.model.model}, ${info.variant}`],
    ['Runs on', device],
    ['Isolated page', info.isolated ? 'yes' : 'no, so one thread'],
    ...refusedDevices(info.refusals, info.device),
  ];
}

/** Return a line for each device that is not used; where a bundle's variants were refused differently, it has all. */
export function refusedDevices(refusals: readonly Refusal[], used: Device): Fact[] {
  return (Object.keys(NAMES) as Device[]).flatMap((device) => {
    const own = refusals.filter((one) => one.device === device);
    if (device === used || own.length === 0) return [];
    const reasons = [...new Set(own.map(({ reason }) => reason))];
    const told = reasons.length === 1 ? reasons : own.map(({ variant, reason }) => `${variant}: ${reason}`);
    return [[`No ${NAMES[device]}`, told.join('; ')] as const];
  });
}

function durations({ timings, where, model }: Session): Fact[] {
  const facts: Fact[] = STAGES.flatMap(([stage, name]) => {
    const ms = timings.stages.get(stage);
    return ms === undefined ? [] : [[name, `${milliseconds(ms)}${aside(stage, timings)}`] as const];
  });
  if (model.kind === 'ready' && !timings.stages.has('self-test')) {
    facts.push(['Self-test', model.sam.info.selfTest === 'no encoder' ? 'not run: no encoder' : 'passed earlier']);
  }
  if (timings.encodeMs !== null) {
    const size = timings.embeddingBytes === null ? '' : `, ${megabytes(timings.embeddingBytes)} MB`;
    facts.push([
      where === 'server' ? 'Read on the server' : 'Read picture',
      `${milliseconds(timings.encodeMs)}${size}`,
    ]);
  }
  if (timings.clicks.length > 0) {
    const each = timings.clicks.length > 1 ? `, median ${milliseconds(timings.medianClickMs!)}` : '';
    facts.push(['Last click', `${milliseconds(timings.clicks.at(-1)!)}${each}`]);
  }
  if (timings.medianPreviewMs !== null) facts.push(['Preview', `median ${milliseconds(timings.medianPreviewMs)}`]);
  if (timings.everythingMs !== null) facts.push(['Everything', milliseconds(timings.everythingMs)]);
  return facts;
}

function aside(stage: LoadStage, { fetchedBytes }: Session['timings']): string {
  if (stage !== 'files') return '';
  return fetchedBytes === 0 ? ', from the cache' : `, ${megabytes(fetchedBytes)} MB`;
}
