/** Writes GGUF files for tests. */

/** A metadata value with the type it is written as; arrays have elements of one type. */
export type Meta =
  | { readonly u32: number }
  | { readonly u64: bigint }
  | { readonly f32: number }
  | { readonly bool: boolean }
  | { readonly text: string }
  | { readonly texts: readonly string[] }
  | { readonly bools: readonly boolean[] }
  | { readonly f32s: readonly number[] }
  | { readonly i32s: readonly number[] };

export interface GgufTensor {
  readonly name: string;
  /** As GGUF's `enum ggml_type` numbers it. */
  readonly type: number;
  /** The contiguous axis last. */
  readonly shape: readonly number[];
  readonly bytes: Uint8Array;
}

export interface GgufFile {
  readonly metadata: Readonly<Record<string, Meta>>;
  readonly tensors: readonly GgufTensor[];
  readonly version?: number;
}

const u32 = (n: number): Buffer => {
  const b = Buffer.alloc(4);
  b.writeUInt32LE(n);
  return b;
};
const i32 = (n: number): Buffer => {
  const b = Buffer.alloc(4);
  b.writeInt32LE(n);
  return b;
};
const u64 = (n: number | bigint): Buffer => {
  const b = Buffer.alloc(8);
  b.writeBigUInt64LE(BigInt(n));
  return b;
};
const f32 = (n: number): Buffer => {
  const b = Buffer.alloc(4);
  b.writeFloatLE(n);
  return b;
};
const text = (s: string): Buffer => {
  const b = Buffer.from(s);
  return Buffer.concat([u64(b.length), b]);
};
const array = (type: number, parts: readonly Buffer[]): Buffer =>
  Buffer.concat([u32(9), u32(type), u64(parts.length), ...parts]);

function metaBytes(m: Meta): Buffer {
  if ('u32' in m) return Buffer.concat([u32(4), u32(m.u32)]);
  if ('u64' in m) return Buffer.concat([u32(10), u64(m.u64)]);
  if ('f32' in m) return Buffer.concat([u32(6), f32(m.f32)]);
  if ('bool' in m) return Buffer.concat([u32(7), Buffer.of(m.bool ? 1 : 0)]);
  if ('text' in m) return Buffer.concat([u32(8), text(m.text)]);
  if ('bools' in m)
    return array(
      7,
      m.bools.map((b) => Buffer.of(b ? 1 : 0)),
    );
  if ('texts' in m) return array(8, m.texts.map(text));
  if ('f32s' in m) return array(6, m.f32s.map(f32));
  return array(5, m.i32s.map(i32));
}

const align = 32;
const pad = (b: Buffer): Buffer =>
  Buffer.concat([b, Buffer.alloc((align - (b.length % align)) % align)]);

/** What the header says of a tensor; its data need not exist yet. */
export interface GgufEntry extends Omit<GgufTensor, 'bytes'> {
  readonly byteLength: number;
}

/** Data of tensors starts at multiples of `ggufAlign` bytes, zeros in between. */
export const ggufAlign = align;

/** All that comes before the data of the tensors, padded; they follow in this order. */
export function ggufHead(
  metadata: GgufFile['metadata'],
  entries: readonly GgufEntry[],
  version = 3,
): Buffer {
  const keys = Object.entries(metadata);
  const head = [Buffer.from('GGUF'), u32(version), u64(entries.length), u64(keys.length)];
  for (const [key, value] of keys) head.push(text(key), metaBytes(value));
  let offset = 0;
  for (const t of entries) {
    head.push(text(t.name), u32(t.shape.length), ...[...t.shape].reverse().map(u64));
    head.push(u32(t.type), u64(offset));
    offset += Math.ceil(t.byteLength / align) * align;
  }
  return pad(Buffer.concat(head));
}

export function writeGguf({ metadata, tensors, version = 3 }: GgufFile): Uint8Array {
  const entries = tensors.map((t) => ({ ...t, byteLength: t.bytes.byteLength }));
  const data = tensors.map((t) => pad(Buffer.from(t.bytes)));
  return Buffer.concat([ggufHead(metadata, entries, version), ...data]);
}
