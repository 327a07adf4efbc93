import { setFlagsFromString } from 'node:v8';
import { findAdapter, findGpu } from '../../kernels/find-gpu.js';
import { KernelError } from '../../kernels/kernel-error.js';
import type { Checkpoint } from './checkpoint.js';
import {
  checkShape,
  DecoderEngine,
  vocabularyOf,
  weightsOf,
  type EngineOptions,
  type Precision,
} from './decoder-engine.js';
import { decoderGraph, headGraph } from './decoder-graph.js';
import type { Engine } from './engine.js';
import { GpuEngine, type GpuModel } from './gpu-engine.js';
import { loadOrtWeb } from './load-ort-web.js';

export type DeviceChoice = 'auto' | 'cpu' | 'gpu';

export interface OpenedEngine {
  readonly engine: Engine;
  /** Why it is not on the GPU that was asked for. */
  readonly reason: string | undefined;
}

/**
 * A decoder on the device that was asked for: on the CPU where the GPU cannot be had, which is said.
 * @throws ModelError as `DecoderEngine.open`
 */
export async function openEngine(
  checkpoint: Checkpoint,
  choice: DeviceChoice,
  options: EngineOptions,
): Promise<OpenedEngine> {
  const onCpu = async (reason?: string) => ({
    engine: await DecoderEngine.open(checkpoint, options),
    reason,
  });
  if (choice === 'cpu') return onCpu();
  try {
    const gpu = await findGpu();
    const { info } = await findAdapter(gpu);
    if (choice === 'auto' && info.isFallbackAdapter)
      throw new KernelError('no-adapter', `${info.description} is software, slower than the CPU`);
    const model = gpuModel(checkpoint, options);
    tierUp(false);
    return { engine: await GpuEngine.open(await loadOrtWeb(gpu), model, { info }), reason: undefined };
  } catch (error) {
    if (!(error instanceof KernelError)) throw error;
    return await onCpu(error.message);
  } finally {
    tierUp(true);
  }
}

/**
 * Whether V8 compiles what WebAssembly is loaded from here on once more for speed. Of ONNX Runtime's build for WebGPU that
 * takes most of a minute, which a thread waits for at its start and a process at its end, and the GPU does the work.
 */
function tierUp(isWanted: boolean): void {
  for (const flag of ['wasm-tier-up', 'wasm-dynamic-tiering'])
    setFlagsFromString(isWanted ? `--${flag}` : `--no-${flag}`);
}

/**
 * Graphs for a GPU. A matrix is read when its graph is asked for.
 * @throws ModelError `unsupported`
 */
export function gpuModel(
  checkpoint: Checkpoint,
  {
    precision,
    cuts = [],
    masses = false,
  }: Pick<EngineOptions, 'cuts' | 'masses'> & { readonly precision: Precision },
): GpuModel {
  checkShape(checkpoint);
  const { shape } = checkpoint;
  const { embed, headWeights } = vocabularyOf(checkpoint, precision);
  const weights = weightsOf(checkpoint, precision);
  const bounds = [0, ...cuts, shape.layers];
  return {
    shape,
    masses,
    embed,
    head: () => headGraph(shape, headWeights, 'gpu').encode(),
    parts: bounds.slice(1).map((to, i) => {
      const range = { from: bounds[i]!, to };
      return {
        ...range,
        graph: async () => (await decoderGraph(shape, weights, range, masses, 'gpu')).encode(),
      };
    }),
  };
}
