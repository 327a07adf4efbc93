import type { SelectionPolicy } from './selection-policy.js';

/** Repairs nothing: for a decoder that was trained to read chunks by themselves (Sun et al. 2024, Block-Attention). */
export function none(): SelectionPolicy {
  return { name: 'none', select: (chunks) => chunks.map(() => []) };
}
