import { InferenceSession, Tensor } from 'onnxruntime-node';
import { OnnxGraph } from './onnx-graph.js';

let exact: Promise<boolean> | undefined;

/**
 * Whether ONNX Runtime's products of unsigned with signed bytes are exact on this processor. Without VNNI its kernels for
 * x64 add pairs of products in 16 bits, which saturates (onnxruntime, docs/performance/model-optimizations/quantization);
 * those of unsigned bytes with unsigned ones are exact everywhere, and slower.
 */
export function areSignedProductsExact(): Promise<boolean> {
  return (exact ??= probe());
}

/** A product of the largest levels there are. */
async function probe(): Promise<boolean> {
  const [rows, inputs, outputs] = [2, 64, 16];
  const onnx = new OnnxGraph(21);
  onnx.input('levels', 'uint8', [rows, inputs]);
  const one = onnx.constant(Float32Array.of(1), []);
  const weights = onnx.constant(new Int8Array(inputs * outputs).fill(127), [inputs, outputs]);
  onnx.node('MatMulIntegerToFloat', ['levels', weights, one, one, onnx.constant(Uint8Array.of(0), [])], {
    domain: 'com.microsoft',
    outputs: ['sums'],
  });
  onnx.output('sums', 'float32', [rows, outputs]);
  const session = await InferenceSession.create(onnx.encode(), { intraOpNumThreads: 1, logSeverityLevel: 4 });
  try {
    const levels = new Tensor('uint8', new Uint8Array(rows * inputs).fill(255), [rows, inputs]);
    const { sums } = await session.run({ levels });
    return (sums!.data as Float32Array).every((sum) => sum === inputs * 255 * 127);
  } finally {
    await session.release();
  }
}
