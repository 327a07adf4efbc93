import * as zlib from 'node:zlib';

/** Length in bytes of a text's UTF-8 once compressed. */
export type CompressedLength = (bytes: Uint8Array) => number;

export type CodecName = 'gzip' | 'deflate-raw' | 'brotli' | 'zstd';

type Zstd = (bytes: Uint8Array, options: { params: Record<number, number> }) => Buffer;

/** Node 22.15 and later. */
const zstd = (zlib as { zstdCompressSync?: Zstd }).zstdCompressSync;
const ZSTD_COMPRESSION_LEVEL = 100;

/** A window of 64 KB: setting up a larger one costs more than compressing a passage. Longer input gets what it needs. */
const BROTLI_WINDOW = 16;

const CODECS: Readonly<Record<CodecName, CompressedLength | undefined>> = {
  gzip: (bytes) => zlib.gzipSync(bytes, { level: 9 }).length,
  'deflate-raw': (bytes) => zlib.deflateRawSync(bytes, { level: 9 }).length,
  brotli: (bytes) =>
    zlib.brotliCompressSync(bytes, {
      params: {
        [zlib.constants.BROTLI_PARAM_QUALITY]: 5,
        [zlib.constants.BROTLI_PARAM_LGWIN]: Math.min(
          24,
          Math.max(BROTLI_WINDOW, Math.ceil(Math.log2(bytes.length + 1))),
        ),
        [zlib.constants.BROTLI_PARAM_MODE]: zlib.constants.BROTLI_MODE_TEXT,
      },
    }).length,
  zstd: zstd && ((bytes) => zstd(bytes, { params: { [ZSTD_COMPRESSION_LEVEL]: 19 } }).length),
};

export const CODEC_NAMES = Object.keys(CODECS) as readonly CodecName[];

/** The codecs that this Node has. */
export const AVAILABLE_CODECS = CODEC_NAMES.filter((name) => CODECS[name] !== undefined);

/** @returns undefined for a codec that this Node does not have */
export function compressedLength(name: CodecName): CompressedLength | undefined {
  return CODECS[name];
}
