import { largestOf } from './grid.js';
import { HALVES, nearestHalf } from '../../kernels/half.js';
import { int4 } from './int4.js';
import { checkBytes, checkLayer, type KvCodec, type LayerSizes } from './kv-codec.js';
import { leftFactor, rightFactor } from './low-rank.js';

/** The authors take 4 for heads of 128; of one of 64 that would weigh as much as another bit of every fourth number. */
const RANK = 2;
/** Of a line of numbers so many of the least and as many of the largest are outliers. */
const OUTLIERS = 0.01;
/** Units of keys and values. */
const UNITS = 8;

/**
 * 4 bits, with outliers kept apart, and what rounding lost put back as far as it is of low rank (Kang et al. 2024,
 * GEAR): for chunks in which a few numbers stretch the range of the others.
 *
 * Layout: a layer of `int4` that has means in the place of outliers · units, float32 · a head's keys, a head's values:
 * outliers, a place and a float16 each; factors.
 */
export const gear: KvCodec = {
  name: 'gear',
  layerBytes(sizes) {
    const head = outlierBytes(keyLines(sizes)) + outlierBytes(valueLines(sizes)) + 2 * factorBytes(sizes);
    return int4.layerBytes(sizes) + UNITS + sizes.kvHeads * head;
  },
  encodeLayer(layer) {
    checkLayer(this.name, layer);
    const bytes = new Uint8Array(this.layerBytes(layer));
    const backbone = int4.layerBytes(layer);
    const units = new DataView(bytes.buffer, backbone);
    const kept = { ...layer, keys: layer.keys.slice(), values: layer.values.slice() };
    units.setFloat32(0, largestOf(layer.keys), true);
    units.setFloat32(4, largestOf(layer.values), true);
    for (const { numbers, lines, unit, outliers } of parts(bytes, kept))
      takeOut(numbers, lines, unit, outliers);
    const coarse = { ...layer, keys: layer.keys.slice(), values: layer.values.slice() };
    bytes.set(int4.encodeLayer(kept));
    int4.decodeLayer(bytes.subarray(0, backbone), coarse);
    for (const name of ['keys', 'values'] as const)
      for (let at = 0; at < kept[name].length; at++) kept[name][at]! -= coarse[name][at]!;
    for (const { numbers, factors } of parts(bytes, kept)) putFactors(numbers, layer.headSize, factors);
    return bytes;
  },
  decodeLayer(bytes, into) {
    checkBytes(this, bytes, into);
    int4.decodeLayer(bytes.subarray(0, int4.layerBytes(into)), into);
    for (const { numbers, lines, unit, outliers, factors } of parts(bytes, into)) {
      addProduct(numbers, into.headSize, factors);
      putBack(numbers, lines, unit, outliers);
    }
  },
};

/** The numbers that are rounded together: keys a channel, values a token. */
interface Lines {
  readonly count: number;
  /** Numbers of a line. */
  readonly length: number;
  /** From a line to the next, and from a number of a line to the next. */
  readonly step: number;
  readonly stride: number;
}

function keyLines({ tokens, headSize }: LayerSizes): Lines {
  return { count: headSize, length: tokens, step: 1, stride: headSize };
}

function valueLines({ tokens, headSize }: LayerSizes): Lines {
  return { count: tokens, length: headSize, step: headSize, stride: 1 };
}

/** Outliers at each end of a line. */
function outliersAtEnd({ length }: Lines): number {
  return Math.min(length >> 1, Math.max(1, Math.round(OUTLIERS * length)));
}

/** Bytes that tell where in a line a number is. */
function placeBytes({ length }: Lines): number {
  return length <= 2 ** 8 ? 1 : length <= 2 ** 16 ? 2 : 4;
}

function outlierBytes(lines: Lines): number {
  return lines.count * 2 * outliersAtEnd(lines) * (placeBytes(lines) + 2);
}

/** A column: its scale, as float32, and 8 bits a token and a channel. */
function factorBytes({ tokens, headSize }: LayerSizes): number {
  return RANK * (4 + tokens + headSize);
}

interface Part {
  /** [tokens, headSize] */
  readonly numbers: Float32Array;
  readonly lines: Lines;
  readonly unit: number;
  readonly outliers: Uint8Array;
  readonly factors: Uint8Array;
}

/** Keys and values of each head, and where their outliers and factors stand. */
function parts(bytes: Uint8Array, layer: LayerSizes & { keys: Float32Array; values: Float32Array }): Part[] {
  const start = int4.layerBytes(layer);
  const units = new DataView(bytes.buffer, bytes.byteOffset + start);
  const size = layer.tokens * layer.headSize;
  let at = start + UNITS;
  return Array.from({ length: layer.kvHeads }, (_, head) =>
    [
      { all: layer.keys, lines: keyLines(layer), unit: units.getFloat32(0, true) },
      { all: layer.values, lines: valueLines(layer), unit: units.getFloat32(4, true) },
    ].map(({ all, lines, unit }) => ({
      numbers: all.subarray(head * size, (head + 1) * size),
      lines,
      unit,
      outliers: bytes.subarray(at, (at += outlierBytes(lines))),
      factors: bytes.subarray(at, (at += factorBytes(layer))),
    })),
  ).flat();
}

/** Writes the outliers of each line, and the mean of the others in their place. */
function takeOut(numbers: Float32Array, lines: Lines, unit: number, to: Uint8Array): void {
  const ends = outliersAtEnd(lines);
  const width = placeBytes(lines);
  const line = new Float64Array(lines.length);
  const least = new Uint32Array(ends);
  const most = new Uint32Array(ends);
  for (let i = 0, at = 0; i < lines.count; i++) {
    const start = i * lines.step;
    let sum = 0;
    for (let place = 0; place < line.length; place++) {
      line[place] = numbers[start + place * lines.stride]!;
      sum += line[place]!;
    }
    findLeast(line, least);
    // What was found is put out of the way of those that are sought next.
    for (const place of least) line[place] = -Infinity;
    for (let place = 0; place < line.length; place++) line[place] = -line[place]!;
    findLeast(line, most);
    const places = [...least, ...most];
    for (const place of places) sum -= numbers[start + place * lines.stride]!;
    const mean = sum / Math.max(1, line.length - 2 * ends);
    for (const place of places) {
      for (let byte = 0; byte < width; byte++) to[at++] = place >>> (8 * byte);
      const number = numbers[start + place * lines.stride]!;
      const half = halfOf(unit === 0 ? 0 : number / unit);
      to[at++] = half & 255;
      to[at++] = half >> 8;
      numbers[start + place * lines.stride] = mean;
    }
  }
}

/** Writes the places of the least numbers, in order; of numbers alike the first. */
function findLeast(line: Float64Array, places: Uint32Array): void {
  let found = 0;
  for (let place = 0; place < line.length; place++) {
    const number = line[place]!;
    if (found === places.length && !(number < line[places[found - 1]!]!)) continue;
    let i = found < places.length ? found++ : found - 1;
    for (; i > 0 && number < line[places[i - 1]!]!; i--) places[i] = places[i - 1]!;
    places[i] = place;
  }
}

function putBack(numbers: Float32Array, lines: Lines, unit: number, from: Uint8Array): void {
  const count = 2 * outliersAtEnd(lines);
  const width = placeBytes(lines);
  for (let line = 0, at = 0; line < lines.count; line++)
    for (let i = 0; i < count; i++) {
      let place = 0;
      for (let byte = 0; byte < width; byte++) place |= from[at++]! << (8 * byte);
      const half = from[at]! | (from[at + 1]! << 8);
      at += 2;
      numbers[line * lines.step + place * lines.stride] = unit * HALVES[half]!;
    }
}

function putFactors(lost: Float32Array, headSize: number, to: Uint8Array): void {
  const right = rightFactor(lost, headSize, RANK);
  const left = leftFactor(lost, right, headSize);
  const tokens = lost.length / headSize;
  const scales = new DataView(to.buffer, to.byteOffset);
  for (let column = 0, at = 0; column < RANK; column++) {
    const a = left.subarray(column * tokens, (column + 1) * tokens);
    const b = right.subarray(column * headSize, (column + 1) * headSize);
    const [mostA, mostB] = [a, b].map((factor) => factor.reduce((most, x) => Math.max(most, Math.abs(x)), 0));
    scales.setFloat32(at, (mostA! / 127) * (mostB! / 127), true);
    at += 4;
    for (const x of a) to[at++] = mostA === 0 ? 0 : Math.round((x / mostA!) * 127);
    for (const x of b) to[at++] = mostB === 0 ? 0 : Math.round((x / mostB!) * 127);
  }
}

function addProduct(numbers: Float32Array, headSize: number, factors: Uint8Array): void {
  const tokens = numbers.length / headSize;
  const scales = new DataView(factors.buffer, factors.byteOffset);
  const levels = new Int8Array(factors.buffer, factors.byteOffset, factors.length);
  for (let column = 0, from = 0; column < RANK; column++) {
    const scale = scales.getFloat32(from, true);
    const left = levels.subarray(from + 4, (from += 4 + tokens));
    const right = levels.subarray(from, (from += headSize));
    for (let token = 0, at = 0; token < tokens; token++) {
      const factor = scale * left[token]!;
      for (let channel = 0; channel < headSize; channel++, at++) numbers[at]! += factor * right[channel]!;
    }
  }
}

const asFloat = new Float32Array(1);
const asBits = new Uint32Array(asFloat.buffer);

function halfOf(x: number): number {
  asFloat[0] = x;
  return nearestHalf(asBits[0]!);
}
