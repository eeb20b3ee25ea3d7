import { describe, expect, test } from 'vitest';
import { parseManifest } from '../../src/manifest.js';
import { fileUrl, folderUrl, safePath } from '../../src/paths.js';
import { golden } from '../goldens.js';

type Json = Record<string, unknown>;

function bundle(): Json {
  return golden<Json>('bundle.json');
}

/** The golden manifest with the value at a dotted way replaced. */
function changed(way: string, value: unknown): string {
  const manifest = bundle();
  const keys = way.split('.');
  const last = keys.pop()!;
  const owner = keys.reduce<Json>((node, key) => node[key] as Json, manifest);
  owner[last] = value;
  return JSON.stringify(manifest);
}

test('a manifest that Python wrote is read', () => {
  const manifest = parseManifest(JSON.stringify(bundle()), 'golden');
  const { normalisation, ...preprocessing } = bundle()['preprocessing'] as { normalisation: { mean: number[] } };
  expect(manifest.preprocessing.normalisation.mean).toEqual(normalisation.mean);
  expect(manifest).toMatchObject({
    model: { model: 'lite_medsam' },
    target: 'onnx',
    preprocessing,
    mask_rule: bundle()['mask_rule'],
  });
  expect(manifest.variants[0]!.graphs.mask_decoder.contract.inputs.map((spec) => spec.name)).toEqual([
    'image_embeddings',
    'point_coords',
    'point_labels',
    'mask_input',
    'has_mask_input',
  ]);
  expect(manifest.selftest.cases).toHaveLength(1);
});

describe('refused', () => {
  const encoder = 'variants.0.graphs.image_encoder';
  test.each([
    ['no JSON', 'BUNDLE_INVALID', '{'],
    ['a web page', 'BUNDLE_INVALID', '<!doctype html>'],
    ['a list', 'BUNDLE_INVALID', '[]'],
    ['another schema', 'BUNDLE_UNSUPPORTED', changed('schema', 2)],
    ['no schema', 'BUNDLE_INVALID', changed('schema', null)],
    ['a filter that is not known', 'BUNDLE_INVALID', changed('preprocessing.filter', 'bicubic')],
    ['a rule that is not known', 'BUNDLE_INVALID', changed('mask_rule.votes', 3)],
    ['an endless frame', 'BUNDLE_INVALID', changed('preprocessing.image_hw', [1e9, 1e9])],
    ['half a pixel', 'BUNDLE_INVALID', changed('mask_rule.mask_hw', [1.5, 256])],
    ['a path upwards', 'BUNDLE_INVALID', changed(`${encoder}.files.0.path`, '../secret')],
    ['an absolute path', 'BUNDLE_INVALID', changed(`${encoder}.files.0.path`, '/etc/passwd')],
    ['an address', 'BUNDLE_INVALID', changed(`${encoder}.files.0.path`, 'https://example.org/a.onnx')],
    ['a file that is not listed', 'BUNDLE_INVALID', changed(`${encoder}.open_path`, 'other.onnx')],
    ['a hash that is none', 'BUNDLE_INVALID', changed(`${encoder}.files.0.sha256`, 'abc')],
    ['a negative size', 'BUNDLE_INVALID', changed(`${encoder}.files.0.bytes`, -1)],
    ['a file that no page can hold', 'BUNDLE_INVALID', changed(`${encoder}.files.0.bytes`, 2 ** 40)],
    ['no decoder', 'BUNDLE_INVALID', changed('variants.0.graphs.mask_decoder', null)],
    ['an inherited name', 'BUNDLE_INVALID', changed('variants.0.graphs', Object.create({ image_encoder: {} }))],
    ['a threshold in words', 'BUNDLE_INVALID', changed('mask_rule.threshold', 'zero')],
  ])('%s', (_, code, text) => {
    expect(() => parseManifest(text, 'test')).toThrow(expect.objectContaining({ code }));
  });

  test('an error names the field, what was given and what is allowed', () => {
    const text = changed('mask_rule.mask_hw', [1.5, 256]);
    expect(() => parseManifest(text, 'here')).toThrow(
      'here: mask_rule.mask_hw[0] is 1.5, allowed: a whole number from 1 to 8192',
    );
  });
});

describe('paths', () => {
  test.each(['', '/a', '../a', 'a/../b', 'a/..', '.', 'a//b', 'a\\b', 'c:a', 'a\0b'])('%j is refused', (path) => {
    expect(safePath(path)).toBeNull();
  });

  test('signs of an address are part of a name', () => {
    const folder = folderUrl('https://example.org/models/sam', 'https://example.org/');
    expect(fileUrl(folder, 'a b/c#d?e%2e.onnx').href).toBe('https://example.org/models/sam/a%20b/c%23d%3Fe%252e.onnx');
  });

  test.each(['/models/sam', '/models/sam/', '/models/sam/bundle.json', '/models/sam?x=1#y'])(
    '%s is the folder',
    (url) => {
      expect(folderUrl(url, 'https://example.org/page/').href).toBe('https://example.org/models/sam/');
    },
  );
});
