/// <reference types="@webgpu/types" preserve="true" />
import { Commands } from './commands.js';
import { findAdapter, findGpu } from './find-gpu.js';
import { KernelError } from './kernel-error.js';

export interface GpuOptions {
  /** Where adapters are asked for. Default the browser's, in Node the package `webgpu`. */
  readonly from?: GPU;
  /** Bytes that one binding may have, where fewer than the adapter's own limit are wanted. */
  readonly bindingBytes?: number;
  /** Bytes of buffers that are kept for the next use. Default 256 MiB. */
  readonly pooledBytes?: number;
  /** False leaves a feature alone that the adapter has. Default whatever it has. */
  readonly subgroups?: boolean;
  readonly f16?: boolean;
}

/** WGSL, written for what the adapter has. */
export interface Program {
  /** For errors. */
  readonly name: string;
  readonly wgsl: string;
}

/** An array on the GPU: the first `bytes` of a buffer. */
export interface GpuArray {
  readonly buffer: GPUBuffer;
  readonly bytes: number;
}

/** A pipeline with what its compiler said of it. */
interface Compiled {
  readonly pipeline: GPUComputePipeline;
  readonly error: Promise<KernelError | undefined>;
}

type PoolKind = 'storage' | 'uniform' | 'readback';

/**
 * A device of WebGPU and what is kept on it: pipelines, each compiled once, and buffers that are used again. Everything
 * that goes wrong on it comes out as a KernelError.
 */
export class Gpu {
  readonly device: GPUDevice;
  /** As its driver names it. */
  readonly name: string;
  /** Whether it is a processor that draws: slower than what runs on the CPU. */
  readonly isSoftware: boolean;
  readonly subgroups: boolean;
  readonly f16: boolean;
  /** That one binding may have. */
  readonly bindingBytes: number;
  readonly #pipelines = new Map<string, Compiled>();
  readonly #pool = new Map<string, GPUBuffer[]>();
  readonly #pooledBytes: number;
  #pooled = 0;
  #lost: KernelError | undefined;

  constructor(device: GPUDevice, info: GPUAdapterInfo | undefined, options: GpuOptions = {}) {
    this.device = device;
    // A browser tells no more than the last of them.
    const names = [
      info?.description,
      info?.device,
      `${info?.vendor ?? ''} ${info?.architecture ?? ''}`.trim(),
    ];
    this.name = names.find((name) => name) ?? 'an unnamed GPU';
    this.isSoftware = info?.isFallbackAdapter ?? false;
    this.subgroups = device.features.has('subgroups') && options.subgroups !== false;
    this.f16 = device.features.has('shader-f16') && options.f16 !== false;
    this.bindingBytes = Math.min(
      device.limits.maxStorageBufferBindingSize,
      device.limits.maxBufferSize,
      options.bindingBytes ?? Infinity,
    );
    this.#pooledBytes = options.pooledBytes ?? 2 ** 28;
    void device.lost.then(({ message, reason }) => {
      this.#lost = new KernelError('lost', `the GPU ${this.name} was lost (${reason}): ${message}`);
      this.#pipelines.clear();
      this.#pool.clear();
    });
  }

  /** @throws KernelError `no-adapter`, `limits` */
  static async open(options: GpuOptions = {}): Promise<Gpu> {
    const adapter = await findAdapter(options.from ?? (await findGpu()));
    const wanted: GPUFeatureName[] = ['subgroups', 'shader-f16'];
    const { maxStorageBufferBindingSize, maxBufferSize } = adapter.limits;
    try {
      const device = await adapter.requestDevice({
        requiredFeatures: wanted.filter((feature) => adapter.features.has(feature)),
        requiredLimits: { maxStorageBufferBindingSize, maxBufferSize },
      });
      return new Gpu(device, adapter.info, options);
    } catch (error) {
      throw new KernelError('limits', `the GPU gives no device: ${(error as Error).message}`, {
        cause: error,
      });
    }
  }

  /** Once the device went away: why. */
  get lost(): KernelError | undefined {
    return this.#lost;
  }

  /** Commands, which run in the order in which they are given. */
  begin(): Commands {
    if (this.#lost) throw this.#lost;
    return new Commands(this);
  }

  /**
   * An array that lives until `free`; what is in it is anything.
   * @throws KernelError `limits`; `memory` comes with the commands that first use it
   */
  array(bytes: number): GpuArray {
    return { buffer: this.take('storage', bytes, () => undefined), bytes: Math.ceil(bytes / 4) * 4 };
  }

  free({ buffer }: GpuArray): void {
    this.giveBack('storage', buffer);
  }

  /** The same text is compiled once. */
  compiled({ name, wgsl }: Program): Compiled {
    const known = this.#pipelines.get(wgsl);
    if (known) return known;
    const { device } = this;
    device.pushErrorScope('validation');
    device.pushErrorScope('internal');
    const module = device.createShaderModule({ code: wgsl, label: name });
    const pipeline = device.createComputePipeline({ layout: 'auto', compute: { module }, label: name });
    const scopes = [device.popErrorScope(), device.popErrorScope()] as const;
    const error = Promise.all([...scopes, module.getCompilationInfo()] as const).then(
      ([internal, validation, { messages }]) => {
        const failed = internal ?? validation;
        if (!failed) return undefined;
        const [first] = messages.filter(({ type }) => type === 'error');
        const place = first && `line ${first.lineNum}: ${first.message}`;
        return new KernelError(
          'shader',
          `${name} does not compile on ${this.name}: ${place ?? failed.message}`,
        );
      },
      () => undefined, // A device that is lost says so by itself.
    );
    const compiled = { pipeline, error };
    this.#pipelines.set(wgsl, compiled);
    return compiled;
  }

  /**
   * A buffer of at least so many bytes, from the pool or new.
   * @param failed takes what the GPU says of a new one
   * @throws KernelError `limits`
   */
  take(kind: PoolKind, bytes: number, failed: (error: Promise<GPUError | null>) => void): GPUBuffer {
    const size = sizeOf(bytes);
    if (kind === 'storage' && bytes > this.bindingBytes)
      throw new KernelError(
        'limits',
        `${bytes} bytes are more than the ${this.bindingBytes} that ${this.name} binds at once`,
      );
    const pooled = this.#pool.get(`${kind} ${size}`)?.pop();
    if (pooled) {
      this.#pooled -= size;
      return pooled;
    }
    this.device.pushErrorScope('out-of-memory');
    this.device.pushErrorScope('validation');
    const buffer = this.device.createBuffer({ size, usage: USAGE[kind] });
    failed(this.device.popErrorScope());
    failed(this.device.popErrorScope());
    return buffer;
  }

  /** Of one that no command uses that is not submitted yet. */
  giveBack(kind: PoolKind, buffer: GPUBuffer): void {
    if (this.#lost || this.#pooled + buffer.size > this.#pooledBytes) {
      buffer.destroy();
      return;
    }
    const key = `${kind} ${buffer.size}`;
    const same = this.#pool.get(key);
    if (same) same.push(buffer);
    else this.#pool.set(key, [buffer]);
    this.#pooled += buffer.size;
  }

  /** Lets the device go. */
  close(): void {
    this.device.destroy();
  }
}

/** GPUBufferUsage, whose names only a browser has before a device is there. */
const USAGE: Readonly<Record<PoolKind, number>> = {
  storage: 0x80 | 0x04 | 0x08, // STORAGE | COPY_SRC | COPY_DST
  uniform: 0x40 | 0x08, // UNIFORM | COPY_DST
  readback: 0x01 | 0x08, // MAP_READ | COPY_DST
};

const LEAST = 256;

/** Four sizes an octave: a pool of few kinds, and at most a fifth of a buffer for nothing. */
function sizeOf(bytes: number): number {
  if (bytes <= LEAST) return LEAST;
  const step = 2 ** (Math.ceil(Math.log2(bytes)) - 3);
  return Math.ceil((Math.ceil(bytes / step) * step) / 4) * 4;
}
