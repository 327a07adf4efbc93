/** Sizes of one layer of a chunk. */
export interface LayerSizes {
  readonly kvHeads: number;
  readonly tokens: number;
  /** Numbers of a head, even: rotary positions turn them in pairs. */
  readonly headSize: number;
}

/** One layer of a chunk: keys, as they are before their rotation, and values, [kvHeads, tokens, headSize] each. */
export interface LayerKv extends LayerSizes {
  readonly keys: Float32Array;
  readonly values: Float32Array;
}

/**
 * A way to store a layer. The same layer gives the same bytes, and how many they are is known from its sizes, so that
 * nothing read from a file decides how much memory is taken.
 */
export interface KvCodec {
  /** Stands in the record; `codecNamed` finds the codec by it. */
  readonly name: string;
  /** Bytes of a layer of these sizes. */
  layerBytes(sizes: LayerSizes): number;
  /**
   * @param salience a number a token, larger = more attended; for codecs that keep some tokens finer
   * @throws KvCodecError `sizes`, `not-finite`, `range`
   */
  encodeLayer(layer: LayerKv, salience?: Float32Array): Uint8Array;
  /**
   * Writes into `into.keys` and `into.values`.
   * @throws KvCodecError `sizes` where the bytes are not as many as the sizes ask for
   */
  decodeLayer(bytes: Uint8Array, into: LayerKv): void;
  /** Absent where the codec has nothing to give up. */
  readonly degraded?: DegradedCodec;
}

/** The same layer with fewer bits, made without decoding. */
export interface DegradedCodec {
  /** What reads it. */
  readonly codec: KvCodec;
  /** @returns bytes of `codec`, which may be a view of those given */
  degradeLayer(bytes: Uint8Array, sizes: LayerSizes): Uint8Array;
}

/**
 * - `sizes`: an array or the bytes are not as long as the sizes ask for, or the sizes are none
 * - `not-finite`: a key, value or salience is NaN or infinite; such a cache must never be stored
 * - `range`: a number is too large for the format
 * - `unknown-codec`: there is no codec of that name
 */
export type KvCodecErrorCode = 'sizes' | 'not-finite' | 'range' | 'unknown-codec';

/** A layer that cannot be encoded or decoded. The message says what is wrong with it. */
export class KvCodecError extends Error {
  override readonly name = 'KvCodecError';

  constructor(
    readonly code: KvCodecErrorCode,
    /** Name of the codec. */
    readonly codec: string,
    message: string,
  ) {
    super(`${codec}: ${message}`);
  }
}

/** No model's keys come near; what is rounded to the middle of a cell stays finite in float32. */
const LARGEST = 2 ** 126;

/**
 * What every codec asks of a layer before it encodes it.
 * @throws KvCodecError `sizes`, `not-finite`, `range`
 */
export function checkLayer(codec: string, layer: LayerKv, salience?: Float32Array): void {
  checkArrays(codec, layer);
  checkNumbers(codec, 'keys', layer.keys);
  checkNumbers(codec, 'values', layer.values);
  if (salience === undefined) return;
  if (salience.length !== layer.tokens)
    throw new KvCodecError('sizes', codec, `${salience.length} saliences for ${layer.tokens} tokens`);
  const odd = salience.findIndex((number) => !Number.isFinite(number));
  if (odd >= 0) throw new KvCodecError('not-finite', codec, `salience[${odd}] is ${salience[odd]!}`);
}

/**
 * What every codec asks before it decodes.
 * @throws KvCodecError `sizes`
 */
export function checkBytes(codec: KvCodec, bytes: Uint8Array, into: LayerKv): void {
  checkArrays(codec.name, into);
  const expected = codec.layerBytes(into);
  if (bytes.length !== expected)
    throw new KvCodecError(
      'sizes',
      codec.name,
      `${bytes.length} bytes where a layer of ${into.kvHeads} heads, ${into.tokens} tokens and ` +
        `${into.headSize} numbers a head has ${expected}`,
    );
}

function checkArrays(codec: string, { kvHeads, tokens, headSize, keys, values }: LayerKv): void {
  for (const [name, size] of Object.entries({ kvHeads, tokens, headSize }))
    if (!Number.isSafeInteger(size) || size < 1)
      throw new KvCodecError('sizes', codec, `${name} is ${size}; it is a whole number from 1`);
  if (headSize % 2 !== 0)
    throw new KvCodecError('sizes', codec, `headSize is ${headSize}; heads have an even number of numbers`);
  const numbers = kvHeads * tokens * headSize;
  if (keys.length !== numbers || values.length !== numbers)
    throw new KvCodecError(
      'sizes',
      codec,
      `${keys.length} keys and ${values.length} values where [${kvHeads}, ${tokens}, ${headSize}] has ${numbers}`,
    );
}

function checkNumbers(codec: string, name: string, numbers: Float32Array): void {
  for (let at = 0; at < numbers.length; at++) {
    const number = numbers[at]!;
    if (number <= LARGEST && number >= -LARGEST) continue;
    const place = `${name}[${at}] is ${number}`;
    if (Number.isFinite(number))
      throw new KvCodecError('range', codec, `${place}; the largest that is stored is ${LARGEST}`);
    throw new KvCodecError(
      'not-finite',
      codec,
      `${place}; a cache with such a number is not stored: compute the chunk again`,
    );
  }
}
