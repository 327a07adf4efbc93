import type { InferenceSession, Tensor, TensorConstructor } from 'onnxruntime-node';
import { Gpu } from '../../kernels/gpu.js';
import { KernelError } from '../../kernels/kernel-error.js';
import { causalMask } from './attention-mask.js';
import type { Engine, LayerRange, StepInput, StepOutput } from './engine.js';
import { GpuChunks, GpuSlots, type GpuStepKv } from './gpu-slots.js';
import { Rope } from './rope.js';
import type { DecoderShape } from './shape.js';

/** As much of `onnxruntime-web` as is used. */
export interface OrtWeb {
  readonly env: { readonly webgpu: { readonly device: Promise<GPUDevice> | GPUDevice } };
  readonly InferenceSession: {
    create(graph: Uint8Array, options: InferenceSession.SessionOptions): Promise<InferenceSession>;
  };
  readonly Tensor: TensorConstructor & {
    fromGpuBuffer(
      buffer: GPUBuffer,
      options: { readonly dataType: 'float32'; readonly dims: readonly number[] },
    ): Tensor;
  };
}

/** A decoder's graphs for a GPU, whoever made them. */
export interface GpuModel {
  readonly shape: DecoderShape;
  /** In order; a graph is asked for once. */
  readonly parts: readonly (LayerRange & { readonly graph: () => Promise<Uint8Array> | Uint8Array })[];
  head(): Promise<Uint8Array> | Uint8Array;
  embed(tokens: ArrayLike<number>): Float32Array;
  /** Whether the graphs tell attention masses. */
  readonly masses: boolean;
}

export interface GpuEngineOptions {
  readonly info?: GPUAdapterInfo | undefined;
  /** Bytes of chunks that stay on the GPU. Default 256 MiB. */
  readonly chunkBytes?: number;
}

/** Of a part's graph; the last where it tells masses. */
const PART_OUTPUTS = ['hidden', 'k', 'v', 'mass'] as const;

interface Part extends LayerRange {
  readonly session: InferenceSession;
}

/**
 * A decoder on ONNX Runtime's WebGPU provider, and its cache on the same device: the provider reads slots where they
 * are, and the keys and values that it leaves go into slots there.
 */
export class GpuEngine implements Engine {
  readonly device = 'gpu';
  readonly shape: DecoderShape;
  readonly rope: Rope;
  readonly gpu: Gpu;
  readonly #ort: OrtWeb;
  readonly #parts: readonly Part[];
  readonly #head: InferenceSession;
  readonly #model: GpuModel;
  readonly #chunks: GpuChunks;
  /** Ends runs under way: one on a device that goes away need not end by itself. */
  readonly #running = new Set<(lost: KernelError) => void>();

  private constructor(
    ort: OrtWeb,
    gpu: Gpu,
    model: GpuModel,
    sessions: { readonly parts: readonly Part[]; readonly head: InferenceSession },
    chunkBytes: number,
  ) {
    this.#ort = ort;
    this.gpu = gpu;
    this.#model = model;
    this.shape = model.shape;
    this.rope = new Rope(model.shape);
    this.#parts = sessions.parts;
    this.#head = sessions.head;
    this.#chunks = new GpuChunks(gpu, chunkBytes);
    void gpu.device.lost.then(({ message }) => {
      const lost = new KernelError('lost', `the GPU ${gpu.name} was lost: ${message}`);
      for (const leave of this.#running) leave(lost);
    });
  }

  /** @throws KernelError `gpu` where ONNX Runtime refuses a graph */
  static async open(
    ort: OrtWeb,
    model: GpuModel,
    { info, chunkBytes = 2 ** 28 }: GpuEngineOptions = {},
  ): Promise<GpuEngine> {
    const open = async (graph: Uint8Array) => {
      try {
        return await ort.InferenceSession.create(graph, {
          executionProviders: ['webgpu'],
          preferredOutputLocation: {
            k: 'gpu-buffer',
            v: 'gpu-buffer',
            hidden: 'cpu',
            mass: 'cpu',
            logits: 'cpu',
          },
          graphOptimizationLevel: 'basic', // What could be fused further is fused in the graph already.
          enableMemPattern: false, // Every number of slots would make a new plan.
          logSeverityLevel: 4,
        });
      } catch (error) {
        throw new KernelError('gpu', `ONNX Runtime: ${(error as Error).message}`, { cause: error });
      }
    };
    const parts: Part[] = [];
    const opened: InferenceSession[] = [];
    try {
      const head = await open(await model.head());
      opened.push(head);
      for (const { from, to, graph } of model.parts) {
        const session = await open(await graph());
        opened.push(session);
        parts.push({ from, to, session });
      }
      const gpu = new Gpu(await ort.env.webgpu.device, info);
      return new GpuEngine(ort, gpu, model, { parts, head }, chunkBytes);
    } catch (error) {
      for (const session of opened) await session.release();
      throw error;
    }
  }

  get parts(): readonly LayerRange[] {
    return this.#parts;
  }

  embed(tokens: ArrayLike<number>): Float32Array {
    return this.#model.embed(tokens);
  }

  slots(): GpuSlots {
    return new GpuSlots(this.shape, this.rope, this.gpu, this.#chunks);
  }

  async step(
    input: StepInput & { readonly past: GpuSlots },
  ): Promise<StepOutput & { readonly kv: readonly GpuStepKv[] }> {
    return this.through(0, this.#parts.length, input);
  }

  async through(
    first: number,
    end: number,
    { rows, positions, past, mask, groups }: StepInput & { readonly past: GpuSlots },
  ): Promise<StepOutput & { readonly kv: readonly GpuStepKv[] }> {
    const { Tensor } = this.#ort;
    const { width, headSize, kvHeads } = this.shape;
    const count = positions.length;
    const total = past.capacity + count;
    await past.settled();
    const { cos, sin } = this.rope.rotation(positions);
    const shared: Record<string, Tensor> = {
      cos: new Tensor('float32', cos, [count, headSize / 2]),
      sin: new Tensor('float32', sin, [count, headSize / 2]),
      mask: new Tensor('float32', mask ?? causalMask(past, count), [count, total]),
    };
    // A graph on a GPU wants a group to be there.
    const asked = groups ?? new Float32Array(total);
    if (this.#model.masses) shared.groups = new Tensor('float32', asked, [total, asked.length / total]);
    const dims = [kvHeads, past.capacity, headSize];
    let hidden = rows;
    const kv: GpuStepKv[] = [];
    const masses: Float32Array[] = [];
    for (const { from, to, session } of this.#parts.slice(first, end)) {
      const feeds: Record<string, Tensor> = {
        ...shared,
        rows: new Tensor('float32', hidden, [1, count, width]),
      };
      for (let layer = from; layer < to; layer++) {
        const of = { dataType: 'float32' as const, dims };
        feeds[`past_k.${layer}`] = Tensor.fromGpuBuffer(past.keys(layer).buffer, of);
        feeds[`past_v.${layer}`] = Tensor.fromGpuBuffer(past.values(layer).buffer, of);
      }
      const out = await this.#run(
        session,
        feeds,
        this.#model.masses ? PART_OUTPUTS : PART_OUTPUTS.slice(0, 3),
      );
      hidden = out.hidden!.data as Float32Array;
      const bytes = 4 * (to - from) * kvHeads * count * headSize;
      const { k, v } = out as Record<'k' | 'v', Tensor & { readonly gpuBuffer: GPUBuffer }>;
      kv.push({
        from,
        layers: to - from,
        keys: { buffer: k.gpuBuffer, bytes },
        values: { buffer: v.gpuBuffer, bytes },
        dispose: () => {
          k.dispose();
          v.dispose();
        },
      });
      if (groups) masses.push(out.mass!.data as Float32Array);
    }
    return { hidden, kv, masses };
  }

  async logits(hidden: Float32Array): Promise<Float32Array> {
    const feeds = { hidden: new this.#ort.Tensor('float32', hidden, [1, 1, this.shape.width]) };
    return (await this.#run(this.#head, feeds, ['logits'])).logits!.data as Float32Array;
  }

  async close(): Promise<void> {
    // ONNX Runtime waits for ever for a device that is gone.
    if (this.gpu.lost) return;
    for (const { session } of this.#parts) await session.release();
    await this.#head.release();
  }

  /** @throws KernelError `lost`, `gpu` */
  async #run(
    session: InferenceSession,
    feeds: Record<string, Tensor>,
    outputs: readonly string[],
  ): Promise<InferenceSession.ReturnType> {
    if (this.gpu.lost) throw this.gpu.lost;
    let leave: ((lost: KernelError) => void) | undefined;
    try {
      return await new Promise((resolve, reject) => {
        leave = reject;
        this.#running.add(leave);
        session.run(feeds, outputs).then(resolve, reject);
      });
    } catch (error) {
      if (error instanceof KernelError) throw error;
      throw new KernelError('gpu', `ONNX Runtime: ${(error as Error).message}`, { cause: error });
    } finally {
      this.#running.delete(leave!);
    }
  }
}
