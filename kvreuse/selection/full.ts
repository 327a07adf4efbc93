import type { SelectionPolicy } from './selection-policy.js';

/** Computes everything: what the others are measured against. */
export function full(): SelectionPolicy {
  return { name: 'full', select: (chunks) => chunks.map(() => 'whole') };
}
