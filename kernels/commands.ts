import type { Gpu, GpuArray, Program } from './gpu.js';
import { KernelError } from './kernel-error.js';

/** Groups of one dimension of a dispatch (WebGPU, maxComputeWorkgroupsPerDimension). */
const MOST_GROUPS = 65_535;
/** What a binding has at least, so that an array of vectors has one. */
const LEAST = 16;

export type Uploaded = Float32Array | Uint32Array | Int32Array | Uint16Array | Uint8Array;

/** Numbers of a uniform: those of `u32` first. */
export interface Uniforms {
  readonly u32?: readonly number[];
  readonly f32?: readonly number[];
}

/**
 * Work for the GPU, which begins with `finish` or `read`. Arrays that were made here are given back then.
 */
export class Commands {
  readonly #gpu: Gpu;
  readonly #encoder: GPUCommandEncoder;
  readonly #errors: Promise<GPUError | KernelError | null | undefined>[] = [];
  readonly #taken: ['storage' | 'uniform', GPUBuffer][] = [];
  #pass: GPUComputePassEncoder | undefined;

  constructor(gpu: Gpu) {
    this.#gpu = gpu;
    this.#encoder = gpu.device.createCommandEncoder();
  }

  /** An array that lives as long as these commands; what is in it is anything. @throws KernelError `limits` */
  array(bytes: number): GpuArray {
    const whole = Math.ceil(bytes / 4) * 4;
    const buffer = this.#take('storage', whole);
    return { buffer, bytes: whole };
  }

  /** The same, with numbers. */
  upload(data: Uploaded): GpuArray {
    const array = this.array(data.byteLength);
    this.write(array, data);
    return array;
  }

  /** Puts numbers into an array before any of these commands begins. */
  write({ buffer }: GpuArray, data: Uploaded): void {
    if (data.byteLength === 0) return;
    // Dawn takes whole words, and no view of shared memory.
    const isPlain = data.byteLength % 4 === 0 && data.buffer instanceof ArrayBuffer;
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    this.#gpu.device.queue.writeBuffer(
      buffer,
      0,
      isPlain ? (bytes as Uint8Array<ArrayBuffer>) : padded(bytes),
    );
  }

  /**
   * Runs a program. In its text binding 0 is the uniform, and the others are arrays, in order. Groups beyond what one
   * dimension takes go into the second: a program takes its group's number from both, and checks it.
   */
  dispatch(
    program: Program,
    arrays: readonly GpuArray[],
    groups: number,
    { u32 = [], f32 = [] }: Uniforms,
  ): void {
    if (groups === 0) return;
    const { device } = this.#gpu;
    const { pipeline, error } = this.#gpu.compiled(program);
    this.#errors.push(error);
    const data = new DataView(new ArrayBuffer(Math.ceil((u32.length + f32.length) / 4) * 16));
    u32.forEach((value, i) => {
      data.setUint32(4 * i, value, true);
    });
    f32.forEach((value, i) => {
      data.setFloat32(4 * (u32.length + i), value, true);
    });
    const uniform = this.#take('uniform', data.byteLength);
    device.queue.writeBuffer(uniform, 0, data.buffer);
    this.#scoped(() => {
      const bound = [{ buffer: uniform, bytes: data.byteLength }, ...arrays];
      const bindGroup = device.createBindGroup({
        layout: pipeline.getBindGroupLayout(0),
        entries: bound.map(({ buffer, bytes }, binding) => ({
          binding,
          resource: { buffer, size: Math.max(LEAST, bytes) },
        })),
      });
      this.#pass ??= this.#encoder.beginComputePass();
      this.#pass.setPipeline(pipeline);
      this.#pass.setBindGroup(0, bindGroup);
      this.#pass.dispatchWorkgroups(Math.min(groups, MOST_GROUPS), Math.ceil(groups / MOST_GROUPS));
    });
  }

  /** Copies bytes from the start of an array to the start of another. */
  copy(from: GpuArray, to: GpuArray, bytes: number): void {
    this.#endPass();
    if (bytes > 0) this.#encoder.copyBufferToBuffer(from.buffer, 0, to.buffer, 0, bytes);
  }

  /** Makes an array 0. */
  clear({ buffer }: GpuArray): void {
    this.#endPass();
    this.#encoder.clearBuffer(buffer);
  }

  /**
   * Begins the work. Resolves once the GPU has accepted it, which may be before it is done.
   * @throws KernelError `shader`, `memory`, `lost`, `gpu`
   */
  async finish(): Promise<void> {
    this.#submit();
    await this.#check();
  }

  /**
   * Begins the work and waits for what it leaves in arrays.
   * @throws KernelError as `finish`
   */
  async read(...arrays: readonly GpuArray[]): Promise<ArrayBuffer[]> {
    this.#endPass();
    const outs = arrays.map((array) => {
      const out = this.#gpu.take('readback', array.bytes, (error) => this.#errors.push(error));
      this.#encoder.copyBufferToBuffer(array.buffer, 0, out, 0, array.bytes);
      return { out, bytes: array.bytes };
    });
    this.#submit();
    const mapped = Promise.all(outs.map(({ out, bytes }) => out.mapAsync(MAP_READ, 0, bytes)));
    mapped.catch(() => undefined); // Looked at after the errors that tell more.
    await this.#check();
    try {
      await mapped;
    } catch (error) {
      throw await this.#lostBy(error);
    }
    return outs.map(({ out, bytes }) => {
      const copy = out.getMappedRange(0, bytes).slice(0);
      out.unmap();
      this.#gpu.giveBack('readback', out);
      return copy;
    });
  }

  #take(kind: 'storage' | 'uniform', bytes: number): GPUBuffer {
    const buffer = this.#gpu.take(kind, bytes, (error) => this.#errors.push(error));
    this.#taken.push([kind, buffer]);
    return buffer;
  }

  #scoped(commands: () => void): void {
    const { device } = this.#gpu;
    device.pushErrorScope('validation');
    commands();
    this.#errors.push(device.popErrorScope());
  }

  #endPass(): void {
    this.#pass?.end();
    this.#pass = undefined;
  }

  #submit(): void {
    this.#endPass();
    this.#scoped(() => {
      this.#gpu.device.queue.submit([this.#encoder.finish()]);
    });
    // What is written into them next is written after these commands.
    for (const [kind, buffer] of this.#taken) this.#gpu.giveBack(kind, buffer);
    this.#taken.length = 0;
  }

  async #check(): Promise<void> {
    const errors = await Promise.all(this.#errors).catch((error: unknown) => [error as Error]);
    if (this.#gpu.lost) throw this.#gpu.lost;
    const found = errors.filter((error) => error !== null && error !== undefined);
    // A shader that does not compile makes all that follows invalid.
    const first = found.find((error) => error instanceof KernelError) ?? found[0];
    if (!first) return;
    if (first instanceof KernelError) throw first;
    const { name } = first.constructor;
    const code = name === 'GPUOutOfMemoryError' ? 'memory' : 'gpu';
    throw new KernelError(code, `${this.#gpu.name}: ${first.message}`);
  }

  /** A buffer that cannot be mapped is one of a device that is gone, which is said a little later. */
  async #lostBy(cause: unknown): Promise<KernelError> {
    await new Promise((resolve) => setTimeout(resolve));
    return (
      this.#gpu.lost ?? new KernelError('lost', `${this.#gpu.name}: ${(cause as Error).message}`, { cause })
    );
  }
}

const MAP_READ = 1; // GPUMapMode.READ

function padded(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(Math.ceil(bytes.length / 4) * 4);
  whole.set(bytes);
  return whole;
}
