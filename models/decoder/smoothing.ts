import type { SmoothedProduct } from './checkpoint.js';
import { openTensors } from './safetensors-file.js';

/** A file beside the weights, made by training/smooth.py. */
export const SMOOTHING = 'smoothing.safetensors';

/** Factors of a product's inputs, by layer. */
export type Smoothing = (layer: number, product: SmoothedProduct, inputs: number) => Float32Array;

/** @throws ModelError `damaged` */
export async function openSmoothing(path: string): Promise<Smoothing> {
  const file = await openTensors(path);
  return (layer, product, inputs) => file.vector(`${layer}.${product}`, inputs);
}
