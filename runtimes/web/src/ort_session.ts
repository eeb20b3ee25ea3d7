/** onnxruntime-web behind one small class: a graph that is checked against its contract when it is opened. */

import type * as Ort from 'onnxruntime-web';
import type { GraphContract, TensorSpec } from './contract.js';
import { reasonOf, SamError } from './errors.js';

export type OrtModule = typeof Ort;
export type Tensor = Ort.Tensor;
export type Device = 'webgpu' | 'wasm';

/** Tensors by the contract's names. */
export type Tensors = Readonly<Record<string, Tensor>>;

export class OrtSession {
  private constructor(
    private readonly session: Ort.InferenceSession,
    readonly contract: GraphContract,
  ) {}

  /**
   * Return a graph, ready to run.
   *
   * `keepOnDevice`: outputs stay where they were computed; for an encoder, whose outputs only the decoder reads.
   * Raises ENGINE_FAILED, WASM_NOT_FOUND, OUT_OF_MEMORY, or CONTRACT where the graph is another one.
   */
  static async open(
    ort: OrtModule,
    graph: Uint8Array,
    contract: GraphContract,
    device: Device,
    keepOnDevice: boolean,
  ): Promise<OrtSession> {
    const options: Ort.InferenceSession.SessionOptions = { executionProviders: [device] };
    if (keepOnDevice && device === 'webgpu') options.preferredOutputLocation = 'gpu-buffer';
    try {
      const session = await ort.InferenceSession.create(graph, options);
      checkGraph(session, contract);
      return new OrtSession(session, contract);
    } catch (thrown) {
      throw engineError(thrown, `${contract.component} on ${device}`);
    }
  }

  /** Return every output by name. `feeds` may hold more than the graph takes. */
  async run(feeds: Tensors): Promise<Tensors> {
    const taken: Record<string, Tensor> = {};
    for (const { name } of this.contract.inputs) {
      const tensor = feeds[name];
      if (!tensor) throw new SamError('CONTRACT', `${this.contract.component}: takes ${name}, which it was not given`);
      taken[name] = tensor;
    }
    try {
      return await this.session.run(taken);
    } catch (thrown) {
      throw engineError(thrown, this.contract.component);
    }
  }
}

/** Turn what onnxruntime-web throws into an error with a code. */
export function engineError(thrown: unknown, subject: string): SamError {
  if (thrown instanceof SamError) return thrown;
  const reason = reasonOf(thrown);
  if (/\.wasm|\.mjs|magic word|BufferSource|WebAssembly\.(instantiate|Module|compile)/i.test(reason)) {
    const message = `${subject}: the WebAssembly files of onnxruntime-web were not found (${reason}); give wasmPaths`;
    return new SamError('WASM_NOT_FOUND', message, { cause: thrown });
  }
  if (/out of memory|bad_alloc|allocation failed|Array buffer allocation|OOM/i.test(reason)) {
    const message = `${subject}: no memory left (${reason}); close other pages or take a smaller model`;
    return new SamError('OUT_OF_MEMORY', message, { cause: thrown });
  }
  const message = `${subject}: onnxruntime-web failed (${reason}); try another device or a bundle in fp32`;
  return new SamError('ENGINE_FAILED', message, { cause: thrown });
}

function checkGraph(session: Ort.InferenceSession, contract: GraphContract): void {
  checkSide(contract, 'inputs', contract.inputs, session.inputMetadata);
  checkSide(contract, 'outputs', contract.outputs, session.outputMetadata);
}

function checkSide(
  { component }: GraphContract,
  side: string,
  wanted: readonly TensorSpec[],
  found: readonly Ort.InferenceSession.ValueMetadata[],
): void {
  const names = (tensors: readonly { name: string }[]) => tensors.map((tensor) => tensor.name).join(', ');
  if (names(wanted) !== names(found)) {
    const message = `${component}: ${side} are ${names(found)}, the contract says ${names(wanted)}; export it again`;
    throw new SamError('CONTRACT', message);
  }
  wanted.forEach((spec, index) => {
    const tensor = found[index];
    if (tensor?.isTensor && !fits(spec, tensor)) {
      const given = `${tensor.type} [${tensor.shape.join(', ')}]`;
      const message = `${component}: ${spec.name} is ${given}, the contract says ${spec.dtype} [${spec.shape.join(', ')}]`;
      throw new SamError('CONTRACT', `${message}; export it again`);
    }
  });
}

function fits(spec: TensorSpec, tensor: { type: string; shape: readonly (number | string)[] }): boolean {
  const sameAxis = (size: number | string, index: number) =>
    typeof size === 'string' ? typeof tensor.shape[index] === 'string' : tensor.shape[index] === size;
  return spec.dtype === tensor.type && spec.shape.length === tensor.shape.length && spec.shape.every(sameAxis);
}
