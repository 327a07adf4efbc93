import { crc32 } from 'node:zlib';
import { ConfigurationError } from '../../settings/configuration-error.js';
import { LARGEST_HALF, nearestHalf } from '../../kernels/half.js';

/** Numbers as PyTorch names their storage. */
const STORAGES = { float32: 'FloatStorage', float16: 'HalfStorage', bfloat16: 'BFloat16Storage' } as const;

export type EmbedsType = keyof typeof STORAGES;

/**
 * A prompt's rows as vLLM takes them in place of its text (`prompt_embeds` of a completion request, a server started with
 * `--enable-prompt-embeds`): base64 of what `torch.save` writes of a tensor [tokens, width]. The same for the same rows.
 * @param rows [tokens, width]
 * @param type of the model that reads them. Default `float32`
 * @throws ConfigurationError
 */
export function promptEmbeds(rows: Float32Array, width: number, type: EmbedsType = 'float32'): string {
  if (!Number.isInteger(width) || width < 1)
    throw new ConfigurationError('width', width, 'give the width of the model');
  if (rows.length === 0 || rows.length % width !== 0)
    throw new ConfigurationError('rows', rows.length, `give one or more rows of ${width} numbers`);
  if (!Object.hasOwn(STORAGES, type))
    throw new ConfigurationError('type', type, `give one of ${Object.keys(STORAGES).join(', ')}`);
  const records: [name: string, data: Buffer][] = [
    ['data.pkl', pickledTensor(rows.length / width, width, STORAGES[type])],
    ['byteorder', Buffer.from('little')],
    ['data/0', numbersOf(rows, type)],
    ['version', Buffer.from('3\n')],
  ];
  return storedZip(records.map(([name, data]) => [`archive/${name}`, data])).toString('base64');
}

function numbersOf(rows: Float32Array, type: EmbedsType): Buffer {
  const limit = type === 'float16' ? LARGEST_HALF : Infinity;
  const strange = rows.find((value) => !(Math.abs(value) <= limit && Number.isFinite(value)));
  if (strange !== undefined)
    throw new ConfigurationError('rows', strange, `give numbers that ${type} can hold`);
  const bits = new Uint32Array(rows.buffer, rows.byteOffset, rows.length);
  const bytes = Buffer.alloc(rows.length * (type === 'float32' ? 4 : 2));
  bits.forEach((value, i) => {
    if (type === 'float32') bytes.writeUInt32LE(value, 4 * i);
    else bytes.writeUInt16LE(type === 'float16' ? nearestHalf(value) : nearestBfloat16(value), 2 * i);
  });
  return bytes;
}

/** The upper half of a float32's bits, rounded, of two as near to the even one. */
function nearestBfloat16(bits: number): number {
  return (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16;
}

/**
 * `torch._utils._rebuild_tensor_v2(storage 0, offset 0, [rows, width], [width, 1], requires_grad False, no hooks)`, in the
 * opcodes of pickle's protocol 2 (CPython, Lib/pickletools.py).
 */
function pickledTensor(rows: number, width: number, storage: string): Buffer {
  const text = (value: string) => Buffer.concat([Buffer.from('X'), uint32(value.length), Buffer.from(value)]);
  const int = (value: number) => Buffer.concat([Buffer.from('J'), uint32(value)]);
  const global = (module: string, name: string) => Buffer.from(`c${module}\n${name}\n`);
  const [mark, tuple, tuple2, reduce] = ['(', 't', '\x86', 'R'].map((code) => Buffer.from(code, 'latin1'));
  return Buffer.concat([
    Buffer.from('\x80\x02', 'latin1'),
    global('torch._utils', '_rebuild_tensor_v2'),
    mark!,
    mark!,
    text('storage'),
    global('torch', storage),
    text('0'),
    text('cpu'),
    int(rows * width),
    tuple!,
    Buffer.from('Q'),
    int(0),
    int(rows),
    int(width),
    tuple2!,
    int(width),
    int(1),
    tuple2!,
    Buffer.from('\x89', 'latin1'),
    global('collections', 'OrderedDict'),
    Buffer.from(')'),
    reduce!,
    tuple!,
    reduce!,
    Buffer.from('.'),
  ]);
}

/** PyTorch's records begin at multiples of this (caffe2/serialize/inline_container.h, kFieldAlignment). */
const ALIGNMENT = 64;

/** Version of the format (APPNOTE.TXT 6.3.10): 2.0. */
const ZIP_VERSION = 20;

/** 1 January 1980, the first date there is. */
const DOS_DATE = 0x21;

/** A zip file whose entries are stored as they are, with no time of their own. */
function storedZip(records: readonly (readonly [name: string, data: Buffer])[]): Buffer {
  const parts: Buffer[] = [];
  const directory: Buffer[] = [];
  let offset = 0;
  for (const [name, data] of records) {
    const path = Buffer.from(name);
    const header = 30 + path.length;
    // An extra field has 4 bytes of its own.
    const padding = 4 + ((2 * ALIGNMENT - ((offset + header + 4) % ALIGNMENT)) % ALIGNMENT);
    const extra = Buffer.concat([Buffer.from('FB'), uint16(padding - 4), Buffer.alloc(padding - 4, 'Z')]);
    const common = (extraLength: number) => [
      uint16(ZIP_VERSION),
      uint16(0),
      uint16(0),
      uint16(0),
      uint16(DOS_DATE),
      uint32(crc32(data)),
      uint32(data.length),
      uint32(data.length),
      uint16(path.length),
      uint16(extraLength),
    ];
    directory.push(
      Buffer.from('PK\x01\x02', 'latin1'),
      uint16(ZIP_VERSION),
      ...common(0),
      Buffer.alloc(2 + 2 + 2 + 4),
      uint32(offset),
      path,
    );
    parts.push(Buffer.from('PK\x03\x04', 'latin1'), ...common(padding), path, extra, data);
    offset += header + padding + data.length;
  }
  const entries = Buffer.concat(directory);
  return Buffer.concat([
    ...parts,
    entries,
    Buffer.from('PK\x05\x06', 'latin1'),
    Buffer.alloc(4),
    uint16(records.length),
    uint16(records.length),
    uint32(entries.length),
    uint32(offset),
    uint16(0),
  ]);
}

function uint16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16LE(value);
  return bytes;
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}
