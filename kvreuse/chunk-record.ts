import { crc32 } from 'node:zlib';
import { z } from 'zod';
import type { LayerRange } from '../models/decoder/engine.js';
import { validate } from '../settings/validate.js';
import type { ChunkKv, KvDims } from './chunk-kv.js';
import { CODEC_NAMES, codecNamed } from './codecs/codec-named.js';
import type { KvCodec, LayerKv, LayerSizes } from './codecs/kv-codec.js';

/** What JSON can say. */
export type Json = string | number | boolean | null | readonly Json[] | { readonly [name: string]: Json };

/** What is kept of a chunk beside its keys and values. */
export interface RecordMeta {
  readonly chunkId: string;
  readonly versionId: string;
  /** Of all that keys and values depend on, by name: model, tokenizer, rotation. */
  readonly fingerprints: Readonly<Record<string, string>>;
  readonly tokenIds: readonly number[];
  readonly statistics: Readonly<Record<string, Json>>;
}

/**
 * - `truncated`: it ends before it should, or cannot be read any more
 * - `damaged`: it is no record, or other bytes than were written
 * - `version`: another version of ragpress wrote it, in another format
 * - `unknown-codec`: it was written with a codec that is not known here
 */
export type RecordErrorCode = 'truncated' | 'damaged' | 'version' | 'unknown-codec';

/** A record that cannot be used. The message says what to do about it. */
export class RecordError extends Error {
  override readonly name = 'RecordError';

  constructor(
    readonly code: RecordErrorCode,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/** Where the bytes of a record are. */
export interface RecordSource {
  /** How many there are. */
  readonly bytes: number;
  /**
   * Bytes `start` to `end`, exclusive; they are not changed.
   * @param isTimed whether it tells how fast they come: not where the reader may be busy when they do. Default true
   * @returns undefined where the record cannot be read any more
   */
  read(start: number, end: number, isTimed?: boolean): Promise<Uint8Array | undefined>;
}

/** A record in memory; what is read of it are views. */
export function memorySource(bytes: Uint8Array): RecordSource {
  return { bytes: bytes.length, read: (start, end) => Promise.resolve(bytes.subarray(start, end)) };
}

/*
 * A record, numbers with the least byte first:
 *   magic, version, bytes of the header, CRC of the header's other bytes: 4 bytes each, in every version
 *   bytes of the JSON, layers: 4 bytes each
 *   a layer: where it begins (8 bytes), its bytes, CRC of it and of what follows up to the next (4 bytes each)
 *   the JSON
 *   a layer after the other
 * Header and layers begin at multiples of 64, so that a layer is one read, and arrays can be laid over it.
 */
const MAGIC = 0x564b5052; // RPKV
const VERSION = 1;
const ALIGNMENT = 64;
const FRAME = 16;
const CRC_AT = 12;
const TABLE = 24;
const TABLE_ROW = 16;
/** Read at once at opening: the header of a chunk of some hundred tokens. */
const FIRST_READ = 4_096;

const metaSchema = z.looseObject({
  chunkId: z.string(),
  versionId: z.string(),
  fingerprints: z.record(z.string(), z.string()),
  tokenIds: z.array(z.int().nonnegative()).min(1),
  statistics: z.record(z.string(), z.json()),
});

const headerSchema = z.object({
  codec: z.string(),
  dims: z.object({
    layers: z.int().positive(),
    kvHeads: z.int().positive(),
    headSize: z.int().positive().multipleOf(2),
  }),
  meta: metaSchema,
});

interface Header<Meta extends RecordMeta> {
  readonly codec: KvCodec;
  readonly dims: KvDims;
  readonly meta: Meta;
  readonly layers: readonly LayerPlace[];
}

interface LayerPlace {
  readonly start: number;
  /** Of what the codec wrote. */
  readonly bytes: number;
  /** Where the next begins. */
  readonly end: number;
  readonly crc: number;
}

/**
 * The same chunk gives the same bytes.
 * @param salience [layers, tokens], larger = more attended, or [tokens] for all layers alike; for codecs that keep some
 *   tokens finer: each layer attends to others
 * @throws RangeError where keys or values are not as many as `kv` says
 * @throws KvCodecError where one is not finite, or too large for the codec, or sizes or saliences are none
 * @throws ConfigurationError where `meta` is not what JSON can say, or not of as many tokens as `kv`
 */
export function encodeRecord(
  meta: RecordMeta,
  kv: ChunkKv,
  codec: KvCodec,
  salience?: Float32Array,
): Uint8Array {
  const { dims, tokens } = kv;
  const numbers = dims.layers * dims.kvHeads * tokens * dims.headSize;
  if (dims.layers < 1 || kv.keys.length !== numbers || kv.values.length !== numbers)
    throw new RangeError(
      `${kv.keys.length} keys and ${kv.values.length} values of a chunk of ${tokens} tokens in ${dims.layers} layers ` +
        `of [${dims.kvHeads}, tokens, ${dims.headSize}]`,
    );
  const schema = metaSchema.refine(({ tokenIds }) => tokenIds.length === tokens, {
    path: ['tokenIds'],
    message: `give the ids of the chunk's ${tokens} tokens`,
  });
  const layers = Array.from({ length: dims.layers }, (_, layer) => {
    const isEach = salience?.length === dims.layers * tokens;
    return codec.encodeLayer(
      layerOf(kv, layer),
      isEach ? salience.subarray(layer * tokens, (layer + 1) * tokens) : salience,
    );
  });
  return joined({ codec: codec.name, dims, meta: validate(schema, meta, 'meta') }, layers);
}

/**
 * The same chunk with fewer bits, without decoding it.
 * @returns undefined where its codec has nothing to give up
 * @throws RecordError
 */
export function degradeRecord(bytes: Uint8Array): Uint8Array | undefined {
  const { codec, dims, meta, layers } = parseHeader(
    bytes.subarray(0, headerBytes(bytes, bytes.length)),
    bytes.length,
  );
  const { degraded } = codec;
  if (!degraded) return undefined;
  const sizes = sizesOf(dims, meta);
  const fewer = layers.map((place, layer) =>
    degraded.degradeLayer(checkedLayer(bytes.subarray(place.start, place.end), place, layer), sizes),
  );
  return joined({ codec: degraded.codec.name, dims, meta }, fewer);
}

/** Reads a record's layers. */
export class RecordReader<Meta extends RecordMeta = RecordMeta> {
  readonly #source: RecordSource;
  readonly #header: Header<Meta>;

  private constructor(source: RecordSource, header: Header<Meta>) {
    this.#source = source;
    this.#header = header;
  }

  /**
   * Reads and checks the header. What `Meta` has beside `RecordMeta` is as it was written, and not checked.
   * @throws RecordError
   */
  static async open<Meta extends RecordMeta = RecordMeta>(source: RecordSource): Promise<RecordReader<Meta>> {
    const first = await read(source, 0, Math.min(source.bytes, FIRST_READ));
    const length = headerBytes(first, source.bytes);
    const header = length <= first.length ? first.subarray(0, length) : await read(source, 0, length);
    return new RecordReader(source, parseHeader<Meta>(header, source.bytes));
  }

  get meta(): Meta {
    return this.#header.meta;
  }

  get codec(): KvCodec {
    return this.#header.codec;
  }

  get dims(): KvDims {
    return this.#header.dims;
  }

  get tokens(): number {
    return this.#header.meta.tokenIds.length;
  }

  /**
   * Layers `from` to `to`, exclusive, in one read.
   * @param into of the record's sizes
   * @param isTimed as `RecordSource.read` has it. Default true
   * @throws RecordError `truncated`, `damaged`
   * @throws RangeError where there are no such layers, or `into` has other sizes
   */
  async readLayers({ from, to }: LayerRange, into: ChunkKv, isTimed = true): Promise<void> {
    const { layers, codec } = this.#header;
    const places = layers.slice(from, to);
    const [first, last] = [places[0], places.at(-1)];
    if (!first || !last || places.length !== to - from)
      throw new RangeError(`layers ${from} to ${to} of a record of ${layers.length}`);
    const { dims, tokens } = this;
    const isAsLarge = (['layers', 'kvHeads', 'headSize'] as const).every(
      (name) => into.dims[name] === dims[name],
    );
    if (into.tokens !== tokens || !isAsLarge)
      throw new RangeError(
        `${into.tokens} tokens of ${JSON.stringify(into.dims)} are no place for ${tokens} of ${JSON.stringify(dims)}`,
      );
    const bytes = await read(this.#source, first.start, last.end, isTimed);
    places.forEach((place, i) => {
      const layer = bytes.subarray(place.start - first.start, place.end - first.start);
      codec.decodeLayer(checkedLayer(layer, place, from + i), layerOf(into, from + i));
    });
  }

  /** Room for all layers. */
  room(): ChunkKv {
    const { dims, tokens } = this;
    const numbers = dims.layers * dims.kvHeads * tokens * dims.headSize;
    return { dims, tokens, keys: new Float32Array(numbers), values: new Float32Array(numbers) };
  }

  /**
   * @param into of the record's sizes. Default new memory
   * @throws RecordError `truncated`, `damaged`
   */
  async readAll(into = this.room()): Promise<ChunkKv> {
    await this.readLayers({ from: 0, to: this.dims.layers }, into);
    return into;
  }
}

function sizesOf({ kvHeads, headSize }: KvDims, { tokenIds }: RecordMeta): LayerSizes {
  return { kvHeads, tokens: tokenIds.length, headSize };
}

function layerOf({ dims: { kvHeads, headSize }, tokens, keys, values }: ChunkKv, layer: number): LayerKv {
  const numbers = kvHeads * tokens * headSize;
  const [start, end] = [layer * numbers, (layer + 1) * numbers];
  return { kvHeads, tokens, headSize, keys: keys.subarray(start, end), values: values.subarray(start, end) };
}

function aligned(bytes: number): number {
  return Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;
}

function joined(
  head: { readonly codec: string; readonly dims: KvDims; readonly meta: RecordMeta },
  layers: readonly Uint8Array[],
): Uint8Array {
  const json = Buffer.from(JSON.stringify(head));
  const start = aligned(TABLE + layers.length * TABLE_ROW + json.length);
  const bytes = new Uint8Array(layers.reduce((end, layer) => end + aligned(layer.length), start));
  const view = new DataView(bytes.buffer);
  let at = start;
  layers.forEach((layer, i) => {
    const end = at + aligned(layer.length);
    bytes.set(layer, at);
    const row = TABLE + i * TABLE_ROW;
    view.setBigUint64(row, BigInt(at), true);
    view.setUint32(row + 8, layer.length, true);
    view.setUint32(row + 12, crc32(bytes.subarray(at, end)), true);
    at = end;
  });
  bytes.set(json, TABLE + layers.length * TABLE_ROW);
  view.setUint32(0, MAGIC, true);
  view.setUint32(4, VERSION, true);
  view.setUint32(8, start, true);
  view.setUint32(16, json.length, true);
  view.setUint32(20, layers.length, true);
  view.setUint32(CRC_AT, headerCrc(bytes.subarray(0, start)), true);
  return bytes;
}

function headerCrc(header: Uint8Array): number {
  return crc32(header.subarray(CRC_AT + 4), crc32(header.subarray(0, CRC_AT)));
}

/** Bytes of a record's header, from its first bytes. */
function headerBytes(first: Uint8Array, total: number): number {
  const view = new DataView(first.buffer, first.byteOffset, first.length);
  if (first.length >= 4 && view.getUint32(0, true) !== MAGIC)
    throw damaged('it does not begin as a record does');
  if (first.length < FRAME) throw truncated(total, FRAME);
  const length = view.getUint32(8, true);
  if (length > total) throw truncated(total, length);
  if (length < TABLE) throw damaged('its header has no end');
  return length;
}

function parseHeader<Meta extends RecordMeta>(header: Uint8Array, total: number): Header<Meta> {
  const view = new DataView(header.buffer, header.byteOffset, header.length);
  if (headerCrc(header) !== view.getUint32(CRC_AT, true))
    throw damaged('its header is not as it was written');
  const version = view.getUint32(4, true);
  if (version !== VERSION)
    throw new RecordError(
      'version',
      `the record has format ${version}, this version of ragpress reads ${VERSION}; compute the chunk again`,
    );
  const [jsonBytes, count] = [view.getUint32(16, true), view.getUint32(20, true)];
  const json = TABLE + count * TABLE_ROW;
  if (json + jsonBytes > header.length) throw damaged('its header is shorter than what it tells');
  const { codec: name, dims, meta } = parseJson(header.subarray(json, json + jsonBytes));
  if (!CODEC_NAMES.includes(name))
    throw new RecordError(
      'unknown-codec',
      `the record was written with the codec ${JSON.stringify(name)}; known are ${CODEC_NAMES.join(', ')}; ` +
        'compute the chunk again, or read it with the version of ragpress that wrote it',
    );
  const codec = codecNamed(name);
  if (dims.layers !== count) throw damaged(`it has ${count} layers where it tells of ${dims.layers}`);
  const layerBytes = codec.layerBytes(sizesOf(dims, meta));
  const layers: LayerPlace[] = [];
  let start = header.length;
  for (let row = TABLE; row < json; row += TABLE_ROW) {
    const bytes = view.getUint32(row + 8, true);
    // Sizes are believed once the bytes are as many: before, they may ask for any amount of memory.
    if (view.getBigUint64(row, true) !== BigInt(start) || bytes !== layerBytes)
      throw damaged(`layer ${layers.length} is not where, or as long as, its sizes ask for`);
    const end = start + aligned(bytes);
    layers.push({ start, bytes, end, crc: view.getUint32(row + 12, true) });
    start = end;
  }
  if (total < start) throw truncated(total, start);
  if (total > start) throw damaged(`it has ${total} bytes where it tells of ${start}`);
  return { codec, dims, meta: meta as unknown as Meta, layers };
}

function parseJson(bytes: Uint8Array): z.output<typeof headerSchema> {
  try {
    return headerSchema.parse(JSON.parse(Buffer.from(bytes).toString()));
  } catch (error) {
    throw new RecordError(
      'damaged',
      'the record is damaged: its header cannot be read; compute the chunk again',
      {
        cause: error,
      },
    );
  }
}

function checkedLayer(bytes: Uint8Array, place: LayerPlace, layer: number): Uint8Array {
  if (crc32(bytes) !== place.crc) throw damaged(`layer ${layer} is not as it was written`);
  return bytes.subarray(0, place.bytes);
}

async function read(source: RecordSource, start: number, end: number, isTimed = true): Promise<Uint8Array> {
  const bytes = await source.read(start, end, isTimed);
  if (!bytes)
    throw new RecordError('truncated', 'the record cannot be read any more; compute the chunk again');
  if (bytes.length !== end - start) throw truncated(start + bytes.length, end);
  return bytes;
}

function truncated(bytes: number, expected: number): RecordError {
  return new RecordError(
    'truncated',
    `the record ends after ${bytes} bytes of at least ${expected}; remove it and compute the chunk again`,
  );
}

function damaged(what: string): RecordError {
  return new RecordError('damaged', `the record is damaged: ${what}; remove it and compute the chunk again`);
}
