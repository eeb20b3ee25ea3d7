/** Thousands of damaged and misleading files: each is read, or refused by an error of this package's own. */

import { expect, test } from 'vitest';
import { decodeEmbedding } from '../../src/embedding_file.js';
import { SamError } from '../../src/errors.js';
import { bodyUpTo } from '../../src/file_store.js';
import { parseManifest } from '../../src/manifest.js';
import { golden, goldenBytes } from '../goldens.js';

type Chance = () => number;

const CASES = Number(process.env['SAM_EXPORT_HOSTILE_CASES'] ?? 1000);
const PATHS = [
  '',
  '.',
  '..',
  '../x',
  '/etc/passwd',
  'a\\b',
  'file:///x',
  'a\0b',
  '\u202egnp',
  '\ud800',
  'n'.repeat(5000),
];
const NUMBERS = [0, -1, 0.5, 2 ** 31, 2 ** 53, 1e308, -0];
const OTHERS: readonly unknown[] = [null, [], {}, [[]], true, 'NaN', [null, null], { __proto__: null, constructor: 1 }];

/** Mulberry32: the same numbers from 0 to 1 for a seed, everywhere. */
function chanceOf(seed: number): Chance {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

function among<T>(items: readonly T[], chance: Chance): T {
  return items[Math.floor(chance() * items.length)]!;
}

/** The value with one that lies anywhere in it replaced by something that nobody expects there. */
function misled(value: unknown, chance: Chance): unknown {
  const ways = typeof value === 'object' && value !== null ? Object.keys(value) : [];
  if (ways.length === 0 || chance() < 0.1) return among<unknown>([...PATHS, ...NUMBERS, ...OTHERS], chance);
  const way = among(ways, chance);
  const copy = structuredClone(value) as Record<string, unknown>;
  copy[way] = chance() < 0.05 ? undefined : misled(copy[way], chance);
  return copy;
}

function damaged(bytes: Uint8Array<ArrayBuffer>, chance: Chance): Uint8Array<ArrayBuffer> {
  const at = Math.floor(chance() * bytes.length);
  const kind = chance();
  if (kind < 0.3) return bytes.slice(0, at);
  if (kind < 0.5) return Uint8Array.from([...bytes.slice(0, at), ...bytes.slice(at + 7)]);
  return bytes.map((byte, index) => (index === at ? byte ^ (1 << Math.floor(chance() * 8)) : byte));
}

function requireOwn(thrown: unknown): void {
  if (!(thrown instanceof SamError)) throw thrown;
  expect(thrown.message).not.toBe('');
  expect(thrown.message.length).toBeLessThan(20_000);
}

test('manifests', () => {
  const chance = chanceOf(1);
  const whole = golden<unknown>('bundle.json');
  let refused = 0;
  for (let index = 0; index < CASES; index++) {
    let document = misled(whole, chance);
    while (chance() < 0.3) document = misled(document, chance);
    try {
      parseManifest(JSON.stringify(document) ?? '', 'hostile');
    } catch (thrown) {
      requireOwn(thrown);
      refused += 1;
    }
  }
  expect(refused).toBeGreaterThan(CASES / 4);
});

test.each(['fp32', 'fp16', 'int8'])('embeddings in %s', async (dtype) => {
  const chance = chanceOf(2);
  const whole = goldenBytes(`semb/${dtype}.semb`);
  for (let index = 0; index < CASES; index++) {
    await decodeEmbedding(damaged(whole, chance)).catch(requireOwn);
  }
});

test('a manifest that never ends is cut off', async () => {
  let sent = 0;
  const endless = new ReadableStream({
    pull: (controller) => {
      controller.enqueue(new Uint8Array(1000));
      sent += 1000;
    },
  });
  expect((await bodyUpTo(new Response(endless), 5000)).size).toBe(6000);
  expect(sent).toBeLessThan(10_000);
});
