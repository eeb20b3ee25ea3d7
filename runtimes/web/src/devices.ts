/** Which devices to try with which variant of a bundle, in order, and why the others are left out. */

import { SamError } from './errors.js';
import type { BundleVariant, Manifest } from './manifest.js';
import type { Device } from './ort_session.js';

export type DeviceChoice = 'auto' | Device;

/** What the browser says of its graphics adapter, null if it has none for WebGPU. */
export interface Adapter {
  readonly name: string;
  /** Computed on the processor, slower than WebAssembly. */
  readonly software: boolean;
  readonly float16: boolean;
}

export interface Attempt {
  readonly device: Device;
  readonly variant: BundleVariant;
}

/** A device that is not tried with a variant, or failed, and why. */
export interface Refusal {
  readonly device: Device;
  readonly variant: string;
  readonly reason: string;
}

export interface Plan {
  readonly attempts: readonly Attempt[];
  readonly refusals: readonly Refusal[];
}

export interface Wishes {
  readonly device: DeviceChoice;
  readonly variant: string | undefined;
  readonly encoder: boolean;
}

/** Targets whose graphs onnxruntime-web opens. */
const TARGETS = ['onnx', 'web'];
/** The provider of the gate, and the device of this package that computes like it. */
const VERIFIED_ON: Readonly<Record<Device, readonly string[]>> = {
  wasm: ['cpu', 'wasm'],
  webgpu: ['cpu', 'gpu', 'webgpu'],
};
const FLOATS = ['fp32', 'fp16'];

/** Return what to try. Raises BUNDLE_UNSUPPORTED or REQUEST_INVALID where nothing can be. */
export function planAttempts(manifest: Manifest, wishes: Wishes, adapter: Adapter | null): Plan {
  if (!TARGETS.includes(manifest.target)) {
    const message = `bundle: made for ${manifest.target}, browsers run: ${TARGETS.join(', ')}; export it with --target web`;
    throw new SamError('BUNDLE_UNSUPPORTED', message);
  }
  const variants = chosenVariants(manifest, wishes.variant);
  const refusals: Refusal[] = [];
  const attempts: Attempt[] = [];
  for (const device of wishes.device === 'auto' ? (['webgpu', 'wasm'] as const) : [wishes.device]) {
    // A variant for the other device says nothing of this one, unless there is no other.
    const meant = variants.filter((variant) => isFor(device, variant));
    for (const variant of meant.length > 0 ? meant : variants) {
      const reason = refusal(device, variant, wishes, adapter);
      if (reason === null) attempts.push({ device, variant });
      else refusals.push({ device, variant: variant.name, reason });
    }
  }
  return { attempts, refusals };
}

function chosenVariants(manifest: Manifest, name: string | undefined): readonly BundleVariant[] {
  const found = manifest.variants.filter((variant) => name === undefined || variant.name === name);
  if (found.length > 0) return found;
  const names = manifest.variants.map((variant) => variant.name).join(', ') || 'none';
  throw new SamError('REQUEST_INVALID', `variant ${name}: the bundle has: ${names}; give one of them`);
}

function refusal(device: Device, variant: BundleVariant, wishes: Wishes, adapter: Adapter | null): string | null {
  if (!isFor(device, variant)) return `this variant is for ${variant.devices.join(', ')}`;
  return device === 'wasm' ? null : webgpuRefusal(variant, wishes, adapter);
}

function isFor(device: Device, variant: BundleVariant): boolean {
  return variant.devices.some((name) => VERIFIED_ON[device].includes(name));
}

function webgpuRefusal(variant: BundleVariant, wishes: Wishes, adapter: Adapter | null): string | null {
  const stored = Object.values(variant.graphs).map((graph) => graph.recipe.storage);
  const others = stored.filter((storage) => !FLOATS.includes(storage));
  // Measured: the same int8 graph gives other masks on WebGPU, and none of the speed.
  if (others.length > 0)
    return `WebGPU computes ${others[0]} graphs differently; take wasm, or a bundle in fp32 or fp16`;
  if (!wishes.encoder) return 'WebGPU is used only after the self-test, which needs the encoder; take wasm';
  if (!adapter) return 'this browser offers no WebGPU adapter';
  if (wishes.device === 'auto' && adapter.software) return 'the adapter is software, slower than WebAssembly';
  return stored.includes('fp16') && !adapter.float16 ? 'the adapter does not compute in fp16' : null;
}

/** Return the browser's adapter for WebGPU, if there is one. */
export async function probeAdapter(): Promise<Adapter | null> {
  const adapter = await navigator.gpu?.requestAdapter({ powerPreference: 'high-performance' }).catch(() => null);
  if (!adapter) return null;
  const { vendor, architecture, description } = adapter.info;
  const name = [description, vendor, architecture].filter(Boolean).join(' ') || 'unnamed';
  const software = adapter.info.isFallbackAdapter ?? /swiftshader|llvmpipe|lavapipe|basic render/i.test(name);
  return { name, software, float16: adapter.features.has('shader-f16') };
}
