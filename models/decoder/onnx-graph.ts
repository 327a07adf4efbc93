import protobuf from 'protobufjs';

/** onnx/onnx.proto, the part that graphs of ours use; field numbers are the standard's. */
const schema = protobuf
  .parse(
    `
  syntax = "proto2";
  package onnx;
  message AttributeProto {
    optional string name = 1; optional float f = 2; optional int64 i = 3; optional bytes s = 4;
    optional GraphProto g = 6; repeated float floats = 7; repeated int64 ints = 8; optional int32 type = 20;
  }
  message NodeProto {
    repeated string input = 1; repeated string output = 2; optional string name = 3; optional string op_type = 4;
    repeated AttributeProto attribute = 5; optional string domain = 7;
  }
  message StringStringEntryProto { optional string key = 1; optional string value = 2; }
  message TensorProto {
    repeated int64 dims = 1; optional int32 data_type = 2; optional string name = 8; optional bytes raw_data = 9;
    repeated StringStringEntryProto external_data = 13; optional int32 data_location = 14;
  }
  message Dimension { optional int64 dim_value = 1; optional string dim_param = 2; }
  message TensorShapeProto { repeated Dimension dim = 1; }
  message TensorType { optional int32 elem_type = 1; optional TensorShapeProto shape = 2; }
  message TypeProto { optional TensorType tensor_type = 1; }
  message ValueInfoProto { optional string name = 1; optional TypeProto type = 2; }
  message GraphProto {
    repeated NodeProto node = 1; optional string name = 2; repeated TensorProto initializer = 5;
    repeated ValueInfoProto input = 11; repeated ValueInfoProto output = 12;
  }
  message OperatorSetIdProto { optional string domain = 1; optional int64 version = 2; }
  message ModelProto {
    optional int64 ir_version = 1; optional string producer_name = 2; optional GraphProto graph = 7;
    repeated OperatorSetIdProto opset_import = 8;
  }`,
    { keepCase: true },
  )
  .root.lookupType('onnx.ModelProto');

/** TensorProto.DataType */
export const DATA_TYPE = { float32: 1, uint8: 2, int8: 3, int32: 6, int64: 7 } as const;
/** AttributeProto.AttributeType */
const ATTRIBUTE_TYPE = { float: 1, int: 2, string: 3, ints: 7 } as const;
/** TensorProto.DataLocation */
const EXTERNAL = 1;

/** Of more bytes a constant may stand beside the file; of fewer it may say what shapes there are, and stands in it. */
const MOST_INSIDE = 1024;

export type OnnxType = keyof typeof DATA_TYPE;
export type InitializerData = Float32Array | Uint8Array | Int8Array | Int32Array | BigInt64Array;

/** A whole number is an int, `{ float }` a float. */
export type AttributeValue = number | string | readonly number[] | { readonly float: number };

export interface NodeOptions {
  /** Names of the outputs, or how many there are. Default 1. */
  readonly outputs?: number | readonly string[];
  readonly attributes?: Readonly<Record<string, AttributeValue>>;
  /** Default the standard's operators. */
  readonly domain?: 'com.microsoft';
}

/** A model whose weights are not in its file, and what that calls the other. */
export interface OnnxModel {
  readonly file: Uint8Array;
  readonly weights: { readonly path: string; readonly data: Uint8Array };
}

interface Initializer {
  readonly name: string;
  readonly dims: readonly number[];
  readonly data_type: number;
  /** In the weights, or by itself. */
  readonly data: Uint8Array | { readonly offset: number; readonly length: number };
}

/** Operators and weights put together to a model file of ONNX, in the order of the calls. */
export class OnnxGraph {
  readonly #nodes: object[] = [];
  readonly #initializers: Initializer[] = [];
  #weights = new Uint8Array(0);
  #size = 0;
  readonly #inputs: object[] = [];
  readonly #outputs: object[] = [];
  readonly #opset: number;
  #names = 0;

  constructor(opset: number) {
    this.#opset = opset;
  }

  /** @param dims a string is a dimension that each run may choose */
  input(name: string, type: OnnxType, dims: readonly (number | string)[]): void {
    this.#inputs.push(valueInfo(name, type, dims));
  }

  output(name: string, type: OnnxType, dims: readonly (number | string)[]): void {
    this.#outputs.push(valueInfo(name, type, dims));
  }

  /** Copies the data: its memory may be used again. What stands in `room` alone stays where it is. */
  constant(data: InitializerData, dims: readonly number[]): string {
    const name = this.#name('constant');
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    this.#initializers.push({
      name,
      dims,
      data_type: DATA_TYPE[typeOf(data)],
      data: bytes.length > MOST_INSIDE ? this.#place(bytes) : bytes.slice(),
    });
    return name;
  }

  /** Memory for the next large constant, which it may be written to before it is one. */
  room(bytes: number): Uint8Array<ArrayBuffer> {
    if (this.#size + bytes > this.#weights.length) this.reserve(bytes + Math.floor(this.#size / 2));
    return this.#weights.subarray(this.#size, this.#size + bytes);
  }

  /** Bytes of the large constants that are there. */
  get weightBytes(): number {
    return this.#size;
  }

  /** Makes room for so many bytes more of large constants: what is there need not move again. */
  reserve(bytes: number): void {
    if (this.#size + bytes <= this.#weights.length) return;
    const weights = new Uint8Array(this.#size + bytes);
    weights.set(this.#weights.subarray(0, this.#size));
    this.#weights = weights;
  }

  /** @returns the names of its outputs; an input left out is an empty name */
  nodes(op: string, inputs: readonly string[], options: NodeOptions = {}): string[] {
    const { outputs = 1, attributes = {}, domain } = options;
    const output =
      typeof outputs === 'number' ? Array.from({ length: outputs }, () => this.#name(op)) : outputs;
    this.#nodes.push({
      input: inputs,
      output,
      name: `${op}.${this.#nodes.length}`,
      op_type: op,
      attribute: Object.entries(attributes).map(([name, value]) => ({ name, ...attribute(value) })),
      ...(domain && { domain }),
    });
    return [...output];
  }

  /** The same, for an operator with one output. */
  node(op: string, inputs: readonly string[], options: NodeOptions = {}): string {
    return this.nodes(op, inputs, options)[0]!;
  }

  /** The model in one file. */
  encode(): Uint8Array {
    return this.#encode(({ offset, length }) => ({
      raw_data: this.#weights.subarray(offset, offset + length),
    }));
  }

  /** The model with its large constants beside its file, where ONNX Runtime need not make them out of it. */
  encodeApart(): OnnxModel {
    const path = 'weights';
    const file = this.#encode(({ offset, length }) => ({
      data_location: EXTERNAL,
      external_data: Object.entries({ location: path, offset, length }).map(([key, value]) => ({
        key,
        value: String(value),
      })),
    }));
    return { file, weights: { path, data: this.#weights.subarray(0, this.#size) } };
  }

  #encode(large: (place: { readonly offset: number; readonly length: number }) => object): Uint8Array {
    const initializer = this.#initializers.map(({ data, ...tensor }) => ({
      ...tensor,
      ...(data instanceof Uint8Array ? { raw_data: data } : large(data)),
    }));
    return schema
      .encode({
        ir_version: 10,
        producer_name: 'ragpress',
        graph: {
          name: 'decoder',
          node: this.#nodes,
          initializer,
          input: this.#inputs,
          output: this.#outputs,
        },
        opset_import: [
          { domain: '', version: this.#opset },
          { domain: 'com.microsoft', version: 1 },
        ],
      })
      .finish();
  }

  #place(bytes: Uint8Array): { readonly offset: number; readonly length: number } {
    const room = this.room(bytes.length);
    if (bytes.buffer !== room.buffer || bytes.byteOffset !== room.byteOffset) room.set(bytes);
    this.#size += bytes.length;
    return { offset: this.#size - bytes.length, length: bytes.length };
  }

  #name(stem: string): string {
    return `${stem}_${this.#names++}`;
  }
}

function valueInfo(name: string, type: OnnxType, dims: readonly (number | string)[]): object {
  return {
    name,
    type: {
      tensor_type: {
        elem_type: DATA_TYPE[type],
        shape: {
          dim: dims.map((dim) => (typeof dim === 'number' ? { dim_value: dim } : { dim_param: dim })),
        },
      },
    },
  };
}

function typeOf(data: InitializerData): OnnxType {
  if (data instanceof Float32Array) return 'float32';
  if (data instanceof Uint8Array) return 'uint8';
  if (data instanceof Int8Array) return 'int8';
  return data instanceof Int32Array ? 'int32' : 'int64';
}

function attribute(value: AttributeValue): object {
  if (typeof value === 'number') return { i: value, type: ATTRIBUTE_TYPE.int };
  if (typeof value === 'string') return { s: Buffer.from(value), type: ATTRIBUTE_TYPE.string };
  if ('float' in value) return { f: value.float, type: ATTRIBUTE_TYPE.float };
  return { ints: value, type: ATTRIBUTE_TYPE.ints };
}
