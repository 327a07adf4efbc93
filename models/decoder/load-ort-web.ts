import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { KernelError } from '../../kernels/kernel-error.js';
import type { OrtWeb } from './gpu-engine.js';

/**
 * ONNX Runtime's WebGPU provider in Node, on Dawn: the optional package `onnxruntime-web`, which is loaded here and
 * nowhere else. Of its builds the one that waits by asyncify is the one that runs on Node 20.
 * @throws KernelError `no-adapter` where the package is missing
 */
export async function loadOrtWeb(gpu: GPU): Promise<OrtWeb> {
  takeSharedMemory();
  const navigator = (globalThis as { navigator?: object }).navigator ?? {};
  // It looks for WebGPU where a browser has it. Node has a navigator from 21 on, without.
  Object.defineProperty(navigator, 'gpu', { value: gpu, configurable: true });
  Object.defineProperty(globalThis, 'navigator', { value: navigator, configurable: true, writable: true });
  try {
    const ort = await import('onnxruntime-web/webgpu');
    const wasm = new URL(
      'ort-wasm-simd-threaded.asyncify.wasm',
      import.meta.resolve('onnxruntime-web/webgpu'),
    );
    ort.env.wasm.numThreads = 1;
    ort.env.wasm.wasmPaths = { mjs: new URL(wasm.href.replace(/\.wasm$/, '.mjs')) };
    const { buffer, byteOffset, byteLength } = await readFile(fileURLToPath(wasm));
    ort.env.wasm.wasmBinary = buffer.slice(byteOffset, byteOffset + byteLength);
    return ort;
  } catch (error) {
    throw new KernelError(
      'no-adapter',
      `ONNX Runtime for WebGPU cannot be loaded (${(error as Error).message}); install the package onnxruntime-web`,
      { cause: error },
    );
  }
}

/** ONNX Runtime's memory is shared, and Dawn's `writeBuffer` refuses a view of such. */
function takeSharedMemory(): void {
  const { GPUQueue } = globalThis as unknown as { GPUQueue: { prototype: GPUQueue & { [TAKES]?: true } } };
  const { prototype } = GPUQueue;
  if (prototype[TAKES]) return;
  // eslint-disable-next-line @typescript-eslint/unbound-method -- called with its own `this` below
  const { writeBuffer } = prototype;
  prototype.writeBuffer = function (this: GPUQueue, buffer, offset, data, start = 0, size?: number) {
    if (!(ArrayBuffer.isView(data) && data.buffer instanceof SharedArrayBuffer)) {
      // Dawn tells arguments that are left out from those that are undefined.
      if (size === undefined) writeBuffer.call(this, buffer, offset, data, start);
      else writeBuffer.call(this, buffer, offset, data, start, size);
      return;
    }
    const unit = (data as { BYTES_PER_ELEMENT?: number }).BYTES_PER_ELEMENT ?? 1;
    const bytes = size === undefined ? data.byteLength - start * unit : size * unit;
    writeBuffer.call(
      this,
      buffer,
      offset,
      new Uint8Array(data.buffer, data.byteOffset + start * unit, bytes).slice(),
    );
  };
  Object.defineProperty(prototype, TAKES, { value: true });
}

const TAKES = Symbol.for('ragpress.takesSharedMemory');
