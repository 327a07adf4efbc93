export { Commands, type Uniforms, type Uploaded } from './commands.js';
export { Gpu, type GpuArray, type GpuOptions, type Program } from './gpu.js';
export { KernelError, type KernelErrorCode } from './kernel-error.js';
export { Kernels, type KernelsOptions, type RoutineResult } from './kernels.js';
export type { Routine } from './routine.js';

export { chunkMass, encodeChunkMass, type ChunkMassInput } from './chunk-mass.js';
export { dequantiseFloat16, encodeDequantiseFloat16 } from './dequantise-float16.js';
export {
  dequantiseInt4,
  encodeDequantiseInt4,
  type DequantiseInt4Input,
  type Int4Format,
} from './dequantise-int4.js';
export { dequantiseInt8, encodeDequantiseInt8 } from './dequantise-int8.js';
export { encodeGatherRows, gatherRows, type GatherRowsInput } from './gather-rows.js';
export { encodeQuantiseFloat16, quantiseFloat16, type QuantiseInput } from './quantise-float16.js';
export { encodeQuantiseInt8, quantiseInt8 } from './quantise-int8.js';
export { encodeRotateKeys, rotateKeys, type RotateKeysInput } from './rotate-keys.js';
export { encodeRowDeviation, rowDeviation, type RowDeviationInput } from './row-deviation.js';
export { encodeScatterRows, scatterRows, type ScatterRowsInput } from './scatter-rows.js';
export {
  encodeSelectedAttention,
  NO_POSITION,
  selectedAttention,
  type SelectedAttentionInput,
} from './selected-attention.js';
export type { DequantiseInput, LayerNumbers, StoredSizes } from './stored-layer.js';
export { encodeTopRows, topRows, type TopRowsInput } from './top-rows.js';
export { encodeLinear, xragProjector, type LinearLayer, type XragProjectorInput } from './xrag-projector.js';
