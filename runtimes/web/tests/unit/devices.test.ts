import { describe, expect, test } from 'vitest';
import { type Adapter, planAttempts, type Wishes } from '../../src/devices.js';
import { type Manifest, parseManifest } from '../../src/manifest.js';
import { golden } from '../goldens.js';

const MANIFEST = parseManifest(JSON.stringify(golden('bundle.json')), 'golden');
const ADAPTER: Adapter = { name: 'a card', software: false, float16: true };
const AUTO: Wishes = { device: 'auto', variant: undefined, encoder: true };

function stored(storage: string, devices = ['cpu']): Manifest {
  const [variant] = MANIFEST.variants;
  const graph = (name: 'image_encoder' | 'mask_decoder') => ({
    ...variant!.graphs[name],
    recipe: { precision: storage, storage, compute: 'fp32' },
  });
  const graphs = { image_encoder: graph('image_encoder'), mask_decoder: graph('mask_decoder') };
  return { ...MANIFEST, variants: [{ name: storage, devices, graphs }] };
}

function devices(manifest: Manifest, wishes: Partial<Wishes> = {}, adapter: Adapter | null = ADAPTER): string[] {
  return planAttempts(manifest, { ...AUTO, ...wishes }, adapter).attempts.map((attempt) => attempt.device);
}

describe('which devices are tried', () => {
  test.each([
    ['fp32', stored('fp32'), {}, ADAPTER, ['webgpu', 'wasm']],
    ['fp16', stored('fp16'), {}, ADAPTER, ['webgpu', 'wasm']],
    ['fp16 where the adapter has none', stored('fp16'), {}, { ...ADAPTER, float16: false }, ['wasm']],
    ['int8', stored('int8'), {}, ADAPTER, ['wasm']],
    ['int8 on WebGPU', stored('int8'), { device: 'webgpu' }, ADAPTER, []],
    ['no adapter', stored('fp32'), {}, null, ['wasm']],
    ['a software adapter', stored('fp32'), {}, { ...ADAPTER, software: true }, ['wasm']],
    ['a software adapter, asked for', stored('fp32'), { device: 'webgpu' }, { ...ADAPTER, software: true }, ['webgpu']],
    ['no encoder', stored('fp32'), { encoder: false }, ADAPTER, ['wasm']],
    ['wasm', stored('fp32'), { device: 'wasm' }, ADAPTER, ['wasm']],
    ['a variant for WebGPU', stored('fp32', ['webgpu']), {}, ADAPTER, ['webgpu']],
  ] as [string, Manifest, Partial<Wishes>, Adapter | null, string[]][])('%s', (_, manifest, wishes, adapter, tried) => {
    expect(devices(manifest, wishes, adapter)).toEqual(tried);
  });

  test('every device that is left out has a reason', () => {
    const { refusals } = planAttempts(stored('int8'), AUTO, null);
    expect(refusals).toEqual([
      { device: 'webgpu', variant: 'int8', reason: expect.stringContaining('int8') as string },
    ]);
  });

  test('each variant goes to the device that it is for', () => {
    const both = [...stored('fp16', ['webgpu']).variants, ...stored('int8', ['wasm']).variants];
    const { attempts } = planAttempts({ ...MANIFEST, variants: both }, AUTO, ADAPTER);
    expect(attempts.map(({ device, variant }) => [device, variant.name])).toEqual([
      ['webgpu', 'fp16'],
      ['wasm', 'int8'],
    ]);
  });

  test.each([
    ['a card with fp16', ADAPTER, ['webgpu fp16', 'webgpu fp32', 'wasm int8', 'wasm fp32']],
    ['a card without', { ...ADAPTER, float16: false }, ['webgpu fp32', 'wasm int8', 'wasm fp32']],
    ['no card', null, ['wasm int8', 'wasm fp32']],
  ] as [string, Adapter | null, string[]][])('a web bundle, smallest variant first: %s', (_, adapter, tried) => {
    const variants = [
      ...stored('int8', ['wasm']).variants,
      ...stored('fp16', ['webgpu']).variants,
      ...stored('fp32', ['wasm', 'webgpu']).variants,
    ];
    const { attempts, refusals } = planAttempts({ ...MANIFEST, target: 'web', variants }, AUTO, adapter);
    expect(attempts.map(({ device, variant }) => `${device} ${variant.name}`)).toEqual(tried);
    const left = refusals.map(({ device, variant }) => `${device} ${variant}`);
    expect([...left, ...tried].sort()).toEqual(['wasm fp32', 'wasm int8', 'webgpu fp16', 'webgpu fp32']);
  });

  test('a variant that is for the other device is told of only where there is no other', () => {
    const { attempts, refusals } = planAttempts(stored('fp16', ['webgpu']), { ...AUTO, device: 'wasm' }, ADAPTER);
    expect(attempts).toEqual([]);
    expect(refusals).toEqual([{ device: 'wasm', variant: 'fp16', reason: 'this variant is for webgpu' }]);
  });

  test('bundles for other engines are refused', () => {
    const coreml = { ...MANIFEST, target: 'coreml' };
    expect(() => planAttempts(coreml, AUTO, null)).toThrow(expect.objectContaining({ code: 'BUNDLE_UNSUPPORTED' }));
  });

  test('a variant that the bundle does not have is refused', () => {
    const wishes = { ...AUTO, variant: 'fp64' };
    expect(() => planAttempts(MANIFEST, wishes, null)).toThrow(expect.objectContaining({ code: 'REQUEST_INVALID' }));
  });
});
