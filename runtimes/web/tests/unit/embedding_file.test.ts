import { describe, expect, test } from 'vitest';
import { decodeEmbedding } from '../../src/embedding_file.js';
import { golden, goldenBytes } from '../goldens.js';

interface SembGolden {
  readonly model: string;
  readonly checkpoint_sha256: string;
  readonly original_hw: [number, number];
  readonly picture_sha256: string | null;
  readonly tensors: Record<string, { shape: number[]; values: number[] }>;
}

const DTYPES = ['fp32', 'fp16', 'int8'];

test.each(DTYPES)('%s is read as Python reads it', async (dtype) => {
  const made = golden<SembGolden>(`semb/${dtype}.json`);
  const read = await decodeEmbedding(goldenBytes(`semb/${dtype}.semb`));
  expect(read).toMatchObject({
    model: made.model,
    checkpointSha256: made.checkpoint_sha256,
    originalHw: made.original_hw,
    pictureSha256: made.picture_sha256,
  });
  expect(read.features.map((feature) => feature.name)).toEqual(Object.keys(made.tensors));
  for (const { name, shape, values } of read.features) {
    expect(shape).toEqual(made.tensors[name]!.shape);
    expect([...values]).toEqual(made.tensors[name]!.values);
  }
});

describe('refused', () => {
  const whole = goldenBytes('semb/int8.semb');
  const changed = (at: number) => whole.map((byte, index) => (index === at ? byte ^ 1 : byte));
  const rewritten = (edit: (header: Record<string, unknown>) => void) => withHeader(whole, edit);
  const hostile: [string, Uint8Array<ArrayBuffer> | Promise<Uint8Array<ArrayBuffer>>][] = [
    ['nothing', new Uint8Array()],
    ['another file', new TextEncoder().encode('<!doctype html>')],
    ['another version', changed(8)],
    ['a changed header', changed(60)],
    ['a changed payload', changed(whole.length - 1)],
    ['one byte less', whole.slice(0, -1)],
    ['one byte more', Uint8Array.from([...whole, 0])],
    ['cut short in the prefix', whole.slice(0, 20)],
    ['cut short in the header', whole.slice(0, 80)],
    ['no tensor', rewritten((header) => Object.assign(header, { tensors: [] }))],
    ['too many pixels', rewritten((header) => Object.assign(header, { original_hw: [20000, 20000] }))],
    ['a huge shape', rewritten((header) => Object.assign(firstTensor(header), { shape: [1, 2 ** 28, 2 ** 28] }))],
    ['an offset outside', rewritten((header) => Object.assign(firstTensor(header), { offset: 64 }))],
    ['a negative scale', rewritten((header) => firstTensor(header).scales.fill(-1))],
    ['an unknown dtype', rewritten((header) => Object.assign(firstTensor(header), { dtype: 'int4' }))],
  ];

  test.each(hostile)('%s', async (_, bytes) => {
    await expect(decodeEmbedding(await bytes)).rejects.toMatchObject({ code: 'EMBEDDING_INVALID' });
  });

  test('the rewritten header alone is not what is refused', async () => {
    await expect(decodeEmbedding(await rewritten(() => undefined))).resolves.toBeDefined();
  });
});

interface Tensor {
  scales: number[];
}

function firstTensor(header: Record<string, unknown>): Tensor {
  return (header['tensors'] as Tensor[])[0]!;
}

/** The file with its header changed and its hash made right again. */
async function withHeader(
  file: Uint8Array,
  edit: (header: Record<string, unknown>) => void,
): Promise<Uint8Array<ArrayBuffer>> {
  const length = new DataView(file.buffer).getUint32(12, true);
  const header = JSON.parse(new TextDecoder().decode(file.subarray(48, 48 + length))) as Record<string, unknown>;
  edit(header);
  const text = JSON.stringify(header);
  const padded = new TextEncoder().encode(text.padEnd(Math.ceil((48 + text.length) / 64) * 64 - 48));
  const made = new Uint8Array(48 + padded.length + file.length - 48 - length);
  made.set(file.subarray(0, 12));
  new DataView(made.buffer).setUint32(12, padded.length, true);
  made.set(new Uint8Array(await crypto.subtle.digest('SHA-256', padded)), 16);
  made.set(padded, 48);
  made.set(file.subarray(48 + length), 48 + padded.length);
  return made;
}
