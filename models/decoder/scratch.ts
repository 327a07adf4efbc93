/** Memory for numbers that are gone by the next time they are asked for. */
export class Scratch {
  #numbers = new Float32Array(0);

  /** @returns as many, with whatever was there; what was taken before is overwritten */
  take(length: number): Float32Array {
    if (this.#numbers.length < length) this.#numbers = new Float32Array(length);
    return this.#numbers.subarray(0, length);
  }
}
