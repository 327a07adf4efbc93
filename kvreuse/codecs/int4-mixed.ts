import { int4 } from './int4.js';
import { checkBytes, checkLayer, type KvCodec, type LayerKv, type LayerSizes } from './kv-codec.js';
import { gridsBytes, putLower, putUpper, readGrids, refine, writeGrids } from './planes.js';

/**
 * A quarter of the tokens, the most salient, with 8 bits, the others with 4: no token is dropped (Yang et al. 2024,
 * MiKV; He et al. 2024, ZipCache).
 *
 * Layout: a layer of `int4` · a bit a token, 1 = salient · the lower plane of the salient tokens' levels.
 */
export const int4Mixed: KvCodec = {
  name: 'int4-mixed',
  layerBytes: (sizes) => lowerStart(sizes) + sizes.kvHeads * salientTokens(sizes.tokens) * sizes.headSize,
  encodeLayer(layer, salience) {
    checkLayer(this.name, layer, salience);
    const bytes = new Uint8Array(this.layerBytes(layer));
    const levels = writeGrids(layer, bytes.subarray(0, gridsBytes(layer)));
    putUpper(levels, bytes.subarray(gridsBytes(layer), int4.layerBytes(layer)));
    const tokens = mostSalient(salience ?? shortKeys(layer));
    const bits = bytes.subarray(int4.layerBytes(layer), lowerStart(layer));
    for (const token of tokens) bits[token >> 3]! |= 1 << (token & 7);
    putLower(levels, tokens, layer, bytes.subarray(lowerStart(layer)));
    return bytes;
  },
  decodeLayer(bytes, into) {
    checkBytes(this, bytes, into);
    int4.decodeLayer(bytes.subarray(0, int4.layerBytes(into)), into);
    const bits = bytes.subarray(int4.layerBytes(into), lowerStart(into));
    const tokens = new Uint32Array(salientTokens(into.tokens));
    for (let token = 0, i = 0; token < into.tokens && i < tokens.length; token++)
      if (bits[token >> 3]! & (1 << (token & 7))) tokens[i++] = token;
    refine(bytes.subarray(lowerStart(into)), tokens, readGrids(bytes, into, 256), into);
  },
  degraded: {
    codec: int4,
    degradeLayer: (bytes, sizes) => bytes.subarray(0, int4.layerBytes(sizes)),
  },
};

/** More of them, and a chunk of 100 tokens would not be 6 times smaller than in float32. */
const SHARE = 0.25;

function salientTokens(tokens: number): number {
  return Math.floor(SHARE * tokens);
}

function lowerStart(sizes: LayerSizes): number {
  return int4.layerBytes(sizes) + Math.ceil(sizes.tokens / 8);
}

/** In order of the chunk; of tokens as salient the earlier. */
function mostSalient(salience: Float32Array): Uint32Array {
  const order = Uint32Array.from(salience, (_, token) => token);
  order.sort((a, b) => salience[b]! - salience[a]! || a - b);
  return order.subarray(0, salientTokens(salience.length)).sort();
}

/**
 * Keys of little length are those that attention goes to, sinks among them (Devoto et al. 2024). Of what a layer alone
 * can tell nothing was better for SmolLM2 (KL, chunks of 400 tokens: 0.0037; the first tokens 0.0063, any 0.0059), and
 * attention itself is (0.0022).
 */
function shortKeys({ kvHeads, tokens, headSize, keys }: LayerKv): Float32Array {
  const salience = new Float32Array(tokens);
  for (let token = 0; token < tokens; token++) {
    let sum = 0;
    for (let head = 0; head < kvHeads; head++) {
      const from = (head * tokens + token) * headSize;
      for (let at = from; at < from + headSize; at++) sum += keys[at]! * keys[at]!;
    }
    salience[token] = -Math.sqrt(sum);
  }
  return salience;
}
