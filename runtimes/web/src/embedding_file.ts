/**
 * Reading a `.semb`, an encoded picture that a server made, from a stranger safely.
 *
 * The layout is described once, in `runtimes/embedding_format.py`.
 */

import type { HeightWidth } from './contract.js';
import { SamError } from './errors.js';
import { float16Values } from './float16.js';
import { Reader } from './reader.js';
import { sha256Hex } from './sha256.js';

const MAGIC = [0x89, 0x53, 0x45, 0x4d, 0x42, 0x0d, 0x0a, 0x1a];
const VERSION = 1;
const PREFIX_BYTES = 48;
const ALIGNMENT = 64;
const MAX_FILE_BYTES = 2 ** 29;
const MAX_HEADER_BYTES = 2 ** 20;
const MAX_RANK = 8;
const MAX_PIXELS = 100_000_000;
const SHA256 = /^[0-9a-f]{64}$/;
const ITEM_BYTES = { fp32: 4, fp16: 2, int8: 1 } as const;

/** An encoder output: [1, C, ...] float32. */
export interface Feature {
  readonly name: string;
  readonly shape: readonly number[];
  readonly values: Float32Array;
}

/** `checkpointSha256`: an embedding fits every decoder of the same checkpoint. */
export interface Embedding {
  readonly model: string;
  readonly checkpointSha256: string;
  readonly originalHw: HeightWidth;
  readonly pictureSha256: string | null;
  readonly features: readonly Feature[];
}

interface TensorEntry {
  readonly name: string;
  readonly shape: readonly number[];
  readonly dtype: keyof typeof ITEM_BYTES;
  readonly offset: number;
  readonly end: number;
  readonly scales: readonly number[];
  readonly shifts: readonly number[];
}

/**
 * Return what the bytes hold, restored to float32; `subject` is what errors call them.
 *
 * Raises EMBEDDING_INVALID: not a `.semb`, of another version, damaged, cut short, or made to harm.
 */
export async function decodeEmbedding(bytes: Uint8Array<ArrayBuffer>, subject = 'embedding'): Promise<Embedding> {
  const headerBytes = headerLength(bytes, subject);
  const text = bytes.subarray(PREFIX_BYTES, PREFIX_BYTES + headerBytes);
  if ((await sha256Hex(text)) !== hex(bytes.subarray(16, PREFIX_BYTES))) {
    throw damaged(subject, "the header's sha256 is not the one before it");
  }
  const header = readHeader(new Reader(parseHeader(text, subject), `${subject}: header`, 'EMBEDDING_INVALID'), subject);
  const payload = bytes.subarray(PREFIX_BYTES + headerBytes);
  const wanted = header.tensors.at(-1)!.end;
  if (payload.length !== wanted) {
    throw damaged(subject, `its payload has ${payload.length} bytes, its header says ${wanted}`);
  }
  if ((await sha256Hex(payload)) !== header.payloadSha256) {
    throw damaged(subject, "the payload's sha256 is not the header's");
  }
  const { model, checkpointSha256, originalHw, pictureSha256 } = header;
  const features = header.tensors.map((entry) => restored(entry, payload, subject));
  return { model, checkpointSha256, originalHw, pictureSha256, features };
}

function headerLength(bytes: Uint8Array, subject: string): number {
  if (bytes.length > MAX_FILE_BYTES) throw damaged(subject, `${bytes.length} bytes, allowed: ${MAX_FILE_BYTES}`);
  if (!MAGIC.every((byte, index) => bytes[index] === byte)) {
    throw new SamError('EMBEDDING_INVALID', `${subject}: not an encoded picture; give a .semb that sam-export wrote`);
  }
  if (bytes.length < PREFIX_BYTES) throw damaged(subject, `cut short after ${bytes.length} bytes`);
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const [version, length] = [view.getUint32(8, true), view.getUint32(12, true)];
  if (version !== VERSION) {
    const message = `${subject}: .semb version ${version}, this package reads ${VERSION}; update it, or encode again`;
    throw new SamError('EMBEDDING_INVALID', message);
  }
  if (length === 0 || length > MAX_HEADER_BYTES || (PREFIX_BYTES + length) % ALIGNMENT !== 0) {
    throw damaged(subject, `its header has ${length} bytes`);
  }
  if (bytes.length < PREFIX_BYTES + length) throw damaged(subject, 'cut short in its header');
  return length;
}

function parseHeader(text: Uint8Array, subject: string): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(text));
  } catch (cause) {
    throw new SamError('EMBEDDING_INVALID', `${subject}: its header is no JSON; encode the picture again`, { cause });
  }
}

interface Header extends Omit<Embedding, 'features'> {
  readonly payloadSha256: string;
  readonly tensors: readonly TensorEntry[];
}

function readHeader(reader: Reader, subject: string): Header {
  const sha256 = (name: string) => reader.field(name).matching(SHA256, '64 hexadecimal digits');
  const side = (item: Reader) => item.integer(1, MAX_PIXELS);
  const originalHw = reader.field('original_hw').tuple(2, side) as unknown as HeightWidth;
  if (originalHw[0] * originalHw[1] > MAX_PIXELS) reader.field('original_hw').refuse(`${MAX_PIXELS} pixels`);
  return {
    model: reader.field('model').string(),
    checkpointSha256: sha256('checkpoint_sha256'),
    originalHw,
    pictureSha256: reader.field('picture_sha256').isNull ? null : sha256('picture_sha256'),
    payloadSha256: sha256('payload_sha256'),
    tensors: inOrder(reader.field('tensors').list(readEntry), subject),
  };
}

function readEntry(reader: Reader): TensorEntry {
  const shape = reader.field('shape').list((item) => item.integer(1, MAX_FILE_BYTES));
  const size = shape.reduce((product, side) => product * side, 1);
  const dtype = reader.field('dtype').oneOf(['fp32', 'fp16', 'int8']);
  if (shape.length < 2 || shape.length > MAX_RANK || shape[0] !== 1 || size * ITEM_BYTES[dtype] > MAX_FILE_BYTES) {
    reader.field('shape').refuse('[1, C, ...], at most 512 MiB');
  }
  const offset = reader.field('offset').integer(0, MAX_FILE_BYTES);
  const perChannel = dtype === 'int8' ? shape[1]! : 0;
  const numbers = (name: string) => reader.field(name).tuple(perChannel, (item) => item.number());
  const [scales, shifts] = [numbers('scales'), numbers('shifts')];
  return {
    name: reader.field('name').string(),
    shape,
    dtype,
    offset,
    end: offset + size * ITEM_BYTES[dtype],
    scales,
    shifts,
  };
}

/** Each tensor once, and each where the one before it ends. */
function inOrder(tensors: readonly TensorEntry[], subject: string): readonly TensorEntry[] {
  const names = tensors.map((entry) => entry.name);
  if (names.length === 0 || new Set(names).size < names.length) {
    throw damaged(subject, `tensors ${names}, allowed: at least one, and each once`);
  }
  let end = 0;
  for (const entry of tensors) {
    const expected = Math.ceil(end / ALIGNMENT) * ALIGNMENT;
    if (entry.offset !== expected) {
      throw damaged(subject, `${entry.name} lies at ${entry.offset}, expected at ${expected}`);
    }
    end = entry.end;
  }
  return tensors;
}

function restored(entry: TensorEntry, payload: Uint8Array, subject: string): Feature {
  const bytes = payload.slice(entry.offset, entry.end);
  const values = {
    fp32: () => float32Values(bytes),
    fp16: () => float16Values(bytes),
    int8: () => onGrids(new Int8Array(bytes.buffer), entry),
  }[entry.dtype]();
  if (!values.every(Number.isFinite) || entry.scales.some((scale) => scale < 0)) {
    throw damaged(subject, `${entry.name} holds NaN, infinity or a negative scale`);
  }
  return { name: entry.name, shape: entry.shape, values };
}

function float32Values(bytes: Uint8Array): Float32Array {
  const view = new DataView(bytes.buffer);
  return Float32Array.from({ length: bytes.length / 4 }, (_, index) => view.getFloat32(index * 4, true));
}

/** `q` of channel `c` means `q * scales[c] + shifts[c]`, the product rounded to float32 before the sum. */
function onGrids(steps: Int8Array, { shape, scales, shifts }: TensorEntry): Float32Array {
  const perChannel = steps.length / shape[1]!;
  return Float32Array.from(steps, (step, index) => {
    const channel = Math.floor(index / perChannel);
    return Math.fround(step * Math.fround(scales[channel]!)) + Math.fround(shifts[channel]!);
  });
}

function hex(bytes: Uint8Array): string {
  return [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('');
}

function damaged(subject: string, detail: string): SamError {
  return new SamError(
    'EMBEDDING_INVALID',
    `${subject}: damaged (${detail}); load it again, or encode the picture again`,
  );
}
