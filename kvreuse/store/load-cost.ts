import type { Speed } from './tier-speed.js';

export interface Load {
  /** Tokens of the record. */
  readonly tokens: number;
  /** Bytes of the record. */
  readonly bytes: number;
  /** Of the tier that it is in, as `ChunkStore.speed` measures it. */
  readonly speed: Speed;
  /** How fast the model computes these tokens, in tokens a second, measured on this machine. */
  readonly computeTokensPerSecond: number;
  /** Share of the tokens that is computed again after loading, 0 to 1. Default 0. */
  readonly recomputedShare?: number;
  /** How fast loaded bytes become keys and values (dequantise, rotate), in tokens a second. Default: at once. */
  readonly decodeTokensPerSecond?: number;
  /** What a load costs whatever its size, the tier's latency aside, in milliseconds. Default 0. */
  readonly callMs?: number;
  /** Layers, where the next one is loaded while one is computed. Default: computing waits for the whole record. */
  readonly overlappedLayers?: number;
}

export interface LoadCost {
  readonly loadMs: number;
  readonly recomputeMs: number;
  /** Whether loading is the faster. */
  readonly loads: boolean;
}

/**
 * What loading a record costs beside computing it. As in CacheBlend's loading controller (Yao et al., EuroSys 2025,
 * arXiv 2405.16444) a transfer hides repair or repair a transfer; latency, decoding and fixed costs are added:
 *
 * - recompute: `n / compute`
 * - load: `latency + call + bytes / bandwidth + n / decode + share × n / compute`
 * - load, layer by layer: the longer of loading and repair hides the other, but for one layer of it
 */
export function loadCost(load: Load): LoadCost {
  const {
    tokens,
    bytes,
    speed,
    computeTokensPerSecond,
    recomputedShare = 0,
    decodeTokensPerSecond = Infinity,
    callMs = 0,
    overlappedLayers = 1,
  } = load;
  const recomputeMs = (1_000 * tokens) / computeTokensPerSecond;
  const transferMs = (1_000 * bytes) / speed.bytesPerSecond + (1_000 * tokens) / decodeTokensPerSecond;
  const repairMs = recomputedShare * recomputeMs;
  // The shorter of the two starts a layer late or ends a layer early; with one layer nothing overlaps.
  const loadMs =
    speed.latencyMs +
    callMs +
    Math.max(transferMs, repairMs) +
    Math.min(transferMs, repairMs) / overlappedLayers;
  return { loadMs, recomputeMs, loads: loadMs < recomputeMs };
}
