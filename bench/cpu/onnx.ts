/**
 * The matrices of a model and nothing else as an ONNX file: no attention, no norms, no rope. Block-quantised
 * products (`MatMulNBits`, blocks of 32, int8 activations), which is how ONNX Runtime runs such models on
 * a CPU. The chain is that of a decoder, so that no product can start before those it depends on.
 */
import { createCipheriv } from 'node:crypto';
import { existsSync, mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import type { GgufShape } from '../gguf-random.ts';

type Bytes = readonly Uint8Array[];

/** Protocol buffers: a field with a varint, and one with bytes. */
const tag = (field: number, kind: number): Uint8Array => varint((field << 3) | kind);
const int = (field: number, value: number): Bytes => [tag(field, 0), varint(value)];
const bytes = (field: number, parts: Bytes): Bytes => [
  tag(field, 2),
  varint(parts.reduce((n, p) => n + p.length, 0)),
  ...parts,
];
const text = (field: number, value: string): Bytes => bytes(field, [Buffer.from(value)]);

function varint(value: number): Uint8Array {
  const out: number[] = [];
  for (let left = value; ; left = Math.floor(left / 128)) {
    if (left < 128) return Uint8Array.from([...out, left]);
    out.push((left % 128) | 128);
  }
}

/** `TensorProto.DataType` and `AttributeProto.AttributeType`. */
const types = { float: 1, uint8: 2, int64: 7, attributeInt: 2 } as const;
const block = 32;

interface Node {
  readonly op: string;
  readonly inputs: readonly string[];
  readonly output: string;
  readonly attributes: Readonly<Record<string, number>>;
}

interface Tensor {
  readonly name: string;
  readonly type: number;
  readonly dims: readonly number[];
  readonly data: Uint8Array;
}

export interface OnnxModel {
  readonly shape: GgufShape;
  readonly bits: 4 | 8;
}

/** Input `x` [t, width]; outputs `logits` [1, vocab] of the last token, and keys and values of every layer. */
export function writeOnnx({ shape, bits }: OnnxModel, path: string): string {
  if (existsSync(path)) return path;
  if (shape.experts !== undefined) throw new Error('no mixtures of experts as ONNX');
  const { width, inner, heads, kvHeads, head, vocab } = shape;
  const nodes: Node[] = [];
  const tensors: Tensor[] = [];
  const outputs: { readonly name: string; readonly width: number }[] = [];
  const product = (x: string, name: string, n: number, k: number): string => {
    const random = randomBytes(tensors.length, (n * k * bits) / 8);
    const scale = Math.sqrt(12 / k) / 2 ** bits;
    const scales = new Float32Array((n * k) / block).fill(scale);
    tensors.push(
      { name: `${name}.q`, type: types.uint8, dims: [n, k / block, (block * bits) / 8], data: random },
      { name: `${name}.s`, type: types.float, dims: [n, k / block], data: new Uint8Array(scales.buffer) },
    ); // prettier-ignore
    nodes.push({
      op: 'MatMulNBits',
      inputs: [x, `${name}.q`, `${name}.s`],
      output: name,
      // Level 4: activations as int8.
      attributes: { K: k, N: n, bits, block_size: block, accuracy_level: 4 },
    });
    return name;
  };
  let x = 'x';
  for (let l = 0; l < shape.depth; l++) {
    const q = product(x, `q${l}`, heads * head, width);
    for (const name of [`k${l}`, `v${l}`])
      outputs.push({ name: product(x, name, kvHeads * head, width), width: kvHeads * head });
    const o = product(q, `o${l}`, width, heads * head);
    const gate = product(o, `gate${l}`, inner, width);
    const up = product(o, `up${l}`, inner, width);
    // A product of two would square the scale of what comes in, layer after layer, out of all range.
    nodes.push({ op: 'Add', inputs: [gate, up], output: `m${l}`, attributes: {} });
    x = product(`m${l}`, `down${l}`, width, inner);
  }
  const last = new BigInt64Array([-1n]);
  tensors.push({ name: 'last', type: types.int64, dims: [1], data: new Uint8Array(last.buffer) });
  nodes.push({ op: 'Gather', inputs: [x, 'last'], output: 'end', attributes: { axis: 0 } });
  outputs.push({ name: product('end', 'logits', vocab, width), width: vocab });

  const graph: Bytes = [
    ...nodes.flatMap((n) => bytes(1, nodeBytes(n))),
    ...text(2, shape.name),
    ...tensors.flatMap((t) => bytes(5, tensorBytes(t))),
    ...bytes(11, valueBytes('x', width)),
    ...outputs.flatMap((o) => bytes(12, valueBytes(o.name, o.width))),
  ];
  const opset = (domain: string, version: number): Bytes =>
    bytes(8, [...text(1, domain), ...int(2, version)]);
  const model = [...int(1, 8), ...bytes(7, graph), ...opset('', 17), ...opset('com.microsoft', 1)];
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(`${path}.partial`, Buffer.concat(model));
  renameSync(`${path}.partial`, path);
  return path;
}

function nodeBytes({ op, inputs, output, attributes }: Node): Bytes {
  return [
    ...inputs.flatMap((i) => text(1, i)),
    ...text(2, output),
    ...text(3, output),
    ...text(4, op),
    ...Object.entries(attributes).flatMap(([name, value]) =>
      bytes(5, [...text(1, name), ...int(3, value), ...int(20, types.attributeInt)]),
    ),
    ...(op === 'MatMulNBits' ? text(7, 'com.microsoft') : []),
  ];
}

const tensorBytes = ({ name, type, dims, data }: Tensor): Bytes => [
  ...dims.flatMap((d) => int(1, d)),
  ...int(2, type),
  ...text(8, name),
  ...bytes(9, [data]),
];

/** Rows of this width, any number of them. */
function valueBytes(name: string, width: number): Bytes {
  const dims = [...bytes(1, text(2, `rows_of_${name}`)), ...bytes(1, int(1, width))];
  const tensor = [...int(1, types.float), ...bytes(2, dims)];
  return [...text(1, name), ...bytes(2, bytes(1, tensor))];
}

function randomBytes(seed: number, length: number): Uint8Array {
  const key = Buffer.alloc(16);
  key.writeUInt32LE(seed + 1);
  return createCipheriv('aes-128-ctr', key, Buffer.alloc(16)).update(Buffer.alloc(length));
}
