import { ModelError } from '../model-error.js';
import type { SmoothedProduct } from './checkpoint.js';
import { openTensors } from './safetensors-file.js';

/** A file beside the weights, made by training/smooth.py. */
export const SMOOTHING = 'smoothing.safetensors';

/** Factors of a product's inputs, by layer. @throws ModelError `damaged` where there are none, or not as many */
export type Smoothing = (layer: number, product: SmoothedProduct, inputs: number) => Float32Array;

/** @throws ModelError `damaged` */
export async function openSmoothing(path: string): Promise<Smoothing> {
  const file = await openTensors(path);
  const factors = new Map(file.names.map((name) => [name, file.vector(name, file.dims(name)[0]!)]));
  await file.close();
  return (layer, product, inputs) => {
    const of = factors.get(`${layer}.${product}`);
    if (of?.length === inputs && of.every((factor) => factor > 0)) return of;
    throw new ModelError(
      'damaged',
      path,
      `${path} does not fit the weights beside it: ${layer}.${product} has not ${inputs} factors above 0; remove it, ` +
        'or make it again for these weights',
    );
  };
}
