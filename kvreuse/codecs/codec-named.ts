import { bitPlanes } from './bit-planes.js';
import { float16 } from './float16.js';
import { float32 } from './float32.js';
import { gear } from './gear.js';
import { int4 } from './int4.js';
import { int4Mixed } from './int4-mixed.js';
import { int8 } from './int8.js';
import { KvCodecError, type KvCodec } from './kv-codec.js';

const CODECS: ReadonlyMap<string, KvCodec> = new Map(
  [float32, float16, int8, bitPlanes, int4Mixed, gear, int4].map((codec) => [codec.name, codec]),
);

/** Names of the codecs there are, from the most bits to the fewest. */
export const CODEC_NAMES: readonly string[] = [...CODECS.keys()];

/** @throws KvCodecError `unknown-codec` */
export function codecNamed(name: string): KvCodec {
  const codec = CODECS.get(name);
  if (codec) return codec;
  throw new KvCodecError(
    'unknown-codec',
    name,
    `there is no such codec; known are ${CODEC_NAMES.join(', ')}`,
  );
}
