import { HALVES } from '../../kernels/half.js';

/** How a type of ggml's keeps numbers: blocks of `numbers`, each of `bytes`. */
export interface GgmlType {
  readonly name: string;
  readonly numbers: number;
  readonly bytes: number;
  /** Reads the block that begins at `from` into `out` at `to`. */
  readonly read: (bytes: Uint8Array, from: number, out: Float32Array, to: number) => void;
}

/** A number in half precision (IEEE 754 binary16). */
export function half(bytes: Uint8Array, at: number): number {
  return HALVES[bytes[at]! | (bytes[at + 1]! << 8)]!;
}

const WORD = new Uint32Array(1);
const WORD_AS_FLOAT = new Float32Array(WORD.buffer);

function word(bytes: Uint8Array, at: number): number {
  return (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)) >>> 0;
}

function float(bits: number): number {
  WORD[0] = bits;
  return WORD_AS_FLOAT[0]!;
}

function signed(byte: number): number {
  return (byte << 24) >> 24;
}

/**
 * 32 numbers of 4 bits, the first 16 in the lower halves of the bytes.
 * @param high a fifth bit of each
 */
function packed(
  bytes: Uint8Array,
  from: number,
  high: number,
  out: Float32Array,
  to: number,
  scale: number,
  least: number,
): void {
  for (let i = 0; i < 16; i++) {
    const byte = bytes[from + i]!;
    out[to + i] = scale * ((byte & 15) | (((high >>> i) & 1) << 4)) + least;
    out[to + 16 + i] = scale * ((byte >> 4) | (((high >>> (i + 16)) & 1) << 4)) + least;
  }
}

/** Scale and minimum of the 32 numbers `index` of a block of 256 (ggml-quants.c, get_scale_min_k4). */
function sixBits(bytes: Uint8Array, at: number, index: number): readonly [number, number] {
  if (index < 4) return [bytes[at + index]! & 63, bytes[at + index + 4]! & 63];
  return [
    (bytes[at + index + 4]! & 15) | ((bytes[at + index - 4]! >> 6) << 4),
    (bytes[at + index + 4]! >> 4) | ((bytes[at + index]! >> 6) << 4),
  ];
}

/** Q4_K and Q5_K: 8 times 32 numbers, with a scale and a minimum of 6 bits each. */
function superblock(
  bytes: Uint8Array,
  from: number,
  out: Float32Array,
  to: number,
  fifth: number | undefined,
  levels: number,
): void {
  const scale = half(bytes, from);
  const least = half(bytes, from + 2);
  for (let part = 0; part < 8; part++) {
    const [steps, under] = sixBits(bytes, from + 4, part);
    const shift = part & 1 ? 4 : 0;
    for (let i = 0; i < 32; i++) {
      let level = (bytes[levels + (part >> 1) * 32 + i]! >> shift) & 15;
      if (fifth !== undefined && (bytes[fifth + i]! >> part) & 1) level += 16;
      out[to + part * 32 + i] = scale * steps * level - least * under;
    }
  }
}

export const Q8_0 = 8;

/** Of a block of Q8_0: a scale in half precision, and a level for each of 32 numbers. */
export const Q8_BYTES = 34;

/** By ggml's number of the type (ggml.h, enum ggml_type; layouts: ggml-common.h). */
export const GGML_TYPES: Readonly<Record<number, GgmlType>> = {
  0: {
    name: 'F32',
    numbers: 1,
    bytes: 4,
    read(bytes, from, out, to) {
      out[to] = float(word(bytes, from));
    },
  },
  1: {
    name: 'F16',
    numbers: 1,
    bytes: 2,
    read(bytes, from, out, to) {
      out[to] = half(bytes, from);
    },
  },
  2: {
    name: 'Q4_0',
    numbers: 32,
    bytes: 18,
    read(bytes, from, out, to) {
      const scale = half(bytes, from);
      packed(bytes, from + 2, 0, out, to, scale, -8 * scale);
    },
  },
  3: {
    name: 'Q4_1',
    numbers: 32,
    bytes: 20,
    read(bytes, from, out, to) {
      packed(bytes, from + 4, 0, out, to, half(bytes, from), half(bytes, from + 2));
    },
  },
  6: {
    name: 'Q5_0',
    numbers: 32,
    bytes: 22,
    read(bytes, from, out, to) {
      const scale = half(bytes, from);
      packed(bytes, from + 6, word(bytes, from + 2), out, to, scale, -16 * scale);
    },
  },
  7: {
    name: 'Q5_1',
    numbers: 32,
    bytes: 24,
    read(bytes, from, out, to) {
      packed(bytes, from + 8, word(bytes, from + 4), out, to, half(bytes, from), half(bytes, from + 2));
    },
  },
  [Q8_0]: {
    name: 'Q8_0',
    numbers: 32,
    bytes: Q8_BYTES,
    read(bytes, from, out, to) {
      const scale = half(bytes, from);
      for (let i = 0; i < 32; i++) out[to + i] = scale * signed(bytes[from + 2 + i]!);
    },
  },
  12: {
    name: 'Q4_K',
    numbers: 256,
    bytes: 144,
    read(bytes, from, out, to) {
      superblock(bytes, from, out, to, undefined, from + 16);
    },
  },
  13: {
    name: 'Q5_K',
    numbers: 256,
    bytes: 176,
    read(bytes, from, out, to) {
      superblock(bytes, from, out, to, from + 16, from + 48);
    },
  },
  14: {
    name: 'Q6_K',
    numbers: 256,
    bytes: 210,
    read(bytes, from, out, to) {
      const scale = half(bytes, from + 208);
      for (let part = 0; part < 8; part++) {
        // Two halves of 128 numbers, each of four times 32.
        const half128 = part >> 2;
        const quarter = part & 3;
        for (let i = 0; i < 32; i++) {
          const low = bytes[from + half128 * 64 + (quarter & 1) * 32 + i]! >> (quarter < 2 ? 0 : 4);
          const high = bytes[from + 128 + half128 * 32 + i]! >> (2 * quarter);
          const steps = signed(bytes[from + 192 + half128 * 8 + quarter * 2 + (i >> 4)]!);
          out[to + part * 32 + i] = scale * steps * (((low & 15) | ((high & 3) << 4)) - 32);
        }
      }
    },
  },
  30: {
    name: 'BF16',
    numbers: 1,
    bytes: 2,
    read(bytes, from, out, to) {
      out[to] = float((bytes[from]! | (bytes[from + 1]! << 8)) << 16);
    },
  },
};

/** Of Q8_0: levels, of which 128 is 0, and a scale each 32. */
export function q8Blocks(bytes: Uint8Array, levels: Uint8Array, scales: Float32Array): void {
  // Two levels at once: a block begins at an even byte, and no more than that.
  const from = new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.length / 2);
  const to = new Uint16Array(levels.buffer, levels.byteOffset, levels.length / 2);
  for (let block = 0, at = 0, out = 0; block < scales.length; block++) {
    scales[block] = half(bytes, block * Q8_BYTES);
    at++;
    for (const end = out + 16; out < end; out++, at++) to[out] = from[at]! ^ 0x8080;
  }
}
