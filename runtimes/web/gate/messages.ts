/** Messages between sam-export in Python and a page, as `verify/browser/exchange.py` describes them. */

export interface TensorHeader {
  readonly name: string;
  readonly shape: readonly number[];
  readonly dtype: 'float32' | 'uint8';
}

export interface Values {
  readonly shape: readonly number[];
  readonly data: Float32Array | Uint8Array;
}

export interface Message {
  readonly header: Readonly<Record<string, unknown>>;
  readonly tensors: Readonly<Record<string, Values>>;
}

const TYPES = { float32: Float32Array, uint8: Uint8Array };
const LENGTH_BYTES = 4;

export function decodeMessage(bytes: ArrayBuffer): Message {
  const length = new DataView(bytes).getUint32(0, true);
  let at = LENGTH_BYTES + length;
  const text = new TextDecoder().decode(new Uint8Array(bytes, LENGTH_BYTES, length));
  const { tensors: listed, ...header } = JSON.parse(text) as { tensors: TensorHeader[] };
  const tensors: Record<string, Values> = {};
  for (const { name, shape, dtype } of listed) {
    const size = shape.reduce((product, side) => product * side, 1) * TYPES[dtype].BYTES_PER_ELEMENT;
    tensors[name] = { shape, data: new TYPES[dtype](bytes.slice(at, at + size)) };
    at += size;
  }
  return { header, tensors };
}

export function encodeMessage({ header, tensors }: Message): Blob {
  const listed = Object.entries(tensors).map(([name, { shape, data }]) => {
    return { name, shape, dtype: data instanceof Float32Array ? 'float32' : 'uint8' };
  });
  const text = new TextEncoder().encode(JSON.stringify({ ...header, tensors: listed }));
  const length = new DataView(new ArrayBuffer(LENGTH_BYTES));
  length.setUint32(0, text.length, true);
  return new Blob([length, text, ...Object.values(tensors).map(({ data }) => data as BlobPart)]);
}

/** Answer the messages of a desk, one after the other, until it is closed. */
export async function answerDesk(desk: string, answer: (message: Message) => Promise<Message>): Promise<void> {
  let done: Blob | null = null;
  for (;;) {
    const response: Response = await fetch(`/desks/${desk}`, { method: 'POST', body: done });
    done = null;
    if (response.status === 204) continue;
    if (!response.ok) return;
    done = encodeMessage(await answered(decodeMessage(await response.arrayBuffer()), answer));
  }
}

async function answered(message: Message, answer: (message: Message) => Promise<Message>): Promise<Message> {
  try {
    return await answer(message);
  } catch (thrown) {
    return { header: { error: thrown instanceof Error ? thrown.message : String(thrown) }, tensors: {} };
  }
}
