/// <reference types="@webgpu/types" preserve="true" />
import { KernelError } from './kernel-error.js';

/** Dawn ends with it, though devices of it are still in use: it is never let go. */
let dawn: GPU | undefined;

/**
 * Where WebGPU begins: the browser's, or Dawn's in Node, by the optional package `webgpu`, which is loaded here and
 * nowhere else.
 * @throws KernelError `no-adapter`
 */
export async function findGpu(): Promise<GPU> {
  // `navigator.gpu` is undefined in a browser without WebGPU, and `navigator` itself in Node 20.
  const given = (globalThis as { navigator?: { gpu?: GPU } }).navigator?.gpu;
  if (given) return given;
  if (dawn) return dawn;
  try {
    const { create, globals } = await import('webgpu');
    // Names such as GPUBufferUsage, which a browser has.
    Object.assign(globalThis, globals);
    return (dawn ??= create([]));
  } catch (error) {
    throw new KernelError(
      'no-adapter',
      `WebGPU cannot be reached (${(error as Error).message}); in Node install the package webgpu, in a browser take one that has it`,
      { cause: error },
    );
  }
}

/**
 * Of a machine's adapters the fastest.
 * @throws KernelError `no-adapter`
 */
export async function findAdapter(gpu: GPU): Promise<GPUAdapter> {
  const adapter = await gpu.requestAdapter({ powerPreference: 'high-performance' });
  if (!adapter) throw new KernelError('no-adapter', 'WebGPU finds no GPU on this machine');
  return adapter;
}
