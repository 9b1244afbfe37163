/** safetensors: header, then the tensors' bytes without gaps. All is checked before any is read. */
import { CheckpointError } from '../base/failure.ts';
import type { QuantScheme } from '../base/scheme.ts';
import type { Files } from './files.ts';

export interface TensorEntry {
  readonly file: string;
  /** As the file writes it: F32, BF16, ... */
  readonly dtype: string;
  readonly shape: readonly number[];
  /** Offset of the first byte in the file, and bytes. */
  readonly offset: number;
  readonly bytes: number;
  /** How the bytes hold the matrix, in one store `blocks`; `dtype` is then that of its numbers. */
  readonly scheme?: QuantScheme;
  /** How the file orders the rows; as the model does, unless told. */
  readonly rows?: RowOrder;
}

/**
 * Each head's rows 0, d/2, 1, d/2 + 1, ... of the model's order, d rows a head: what rotates in
 * pairs lies side by side.
 */
export interface RowOrder {
  readonly kind: 'paired';
  readonly heads: number;
}

const bitsOf: Readonly<Record<string, number>> = {
  BOOL: 8, U8: 8, I8: 8, F8_E5M2: 8, F8_E4M3: 8, F8_E8M0: 8, F8_E4M3FNUZ: 8, F8_E5M2FNUZ: 8,
  I16: 16, U16: 16, F16: 16, BF16: 16, I32: 32, U32: 32, F32: 32, C64: 64, F64: 64, I64: 64,
  U64: 64, F4: 4, F6_E2M3: 6, F6_E3M2: 6,
}; // prettier-ignore

/** Longest header that the format allows. */
const longestHeader = 100_000_000;

const fail = (file: string, code: string, what: string): never => {
  throw new CheckpointError(`checkpoint/${code}`, `${file}: ${what}`);
};

/** Tensors of a file by name. Throws CheckpointError if anything about the file is not as it must be. */
export async function readSafetensors(
  files: Files,
  file: string,
): Promise<ReadonlyMap<string, TensorEntry>> {
  const size = await files.size(file);
  if (size === undefined) return fail(file, 'missing', 'there is no such file');
  if (size < 10) return fail(file, 'truncated', `${size} bytes are too few for a safetensors file`);
  const head = new DataView(new Uint8Array(await files.read(file, 0, 8)).buffer);
  const length = Number(head.getBigUint64(0, true));
  if (length > longestHeader)
    return fail(file, 'header', `a header of ${length} bytes; at most ${longestHeader}`);
  if (8 + length > size) {
    return fail(file, 'truncated', `the header says ${length} bytes, the file has ${size}`);
  }
  const text = new TextDecoder().decode(await files.read(file, 8, length));
  if (!text.startsWith('{')) return fail(file, 'header', 'the header is no JSON object');
  return readHeader(file, text, 8 + length, size);
}

function readHeader(
  file: string,
  text: string,
  start: number,
  size: number,
): ReadonlyMap<string, TensorEntry> {
  const entries: [string, TensorEntry][] = [];
  for (const [name, value] of Object.entries(parseObject(file, text))) {
    if (name !== '__metadata__') entries.push([name, readEntry(file, name, value, start)]);
  }
  checkDuplicates(file, text, entries.length);
  const sorted = [...entries].sort((a, b) => a[1].offset - b[1].offset || a[1].bytes - b[1].bytes);
  let end = start;
  for (const [name, t] of sorted) {
    if (t.offset !== end) {
      const what = t.offset < end ? 'overlaps another tensor' : 'leaves a gap before it';
      fail(file, t.offset < end ? 'overlap' : 'gap', `${name} ${what}`);
    }
    end += t.bytes;
  }
  if (end > size) fail(file, 'truncated', `the tensors need ${end} bytes, the file has ${size}`);
  if (end < size) fail(file, 'trailing', `${size - end} bytes follow the last tensor`);
  return new Map(entries);
}

function parseObject(file: string, text: string): Readonly<Record<string, unknown>> {
  try {
    const json: unknown = JSON.parse(text);
    if (isRecord(json)) return json;
  } catch {
    // said below
  }
  return fail(file, 'header', 'the header is no JSON object');
}

const isRecord = (v: unknown): v is Readonly<Record<string, unknown>> =>
  typeof v === 'object' && v !== null && !Array.isArray(v);

const isSize = (v: unknown): v is number =>
  typeof v === 'number' && Number.isSafeInteger(v) && v >= 0;

function readEntry(file: string, name: string, value: unknown, start: number): TensorEntry {
  if (!isRecord(value)) return fail(file, 'header', `${name} is described by no object`);
  const { dtype, shape, data_offsets: range } = value;
  const bits =
    typeof dtype === 'string' && Object.hasOwn(bitsOf, dtype) ? bitsOf[dtype] : undefined;
  if (typeof dtype !== 'string' || bits === undefined) {
    return fail(file, 'type', `${name} has the unknown type ${String(dtype).slice(0, 40)}`);
  }
  if (!Array.isArray(shape) || !shape.every(isSize)) {
    return fail(file, 'shape', `${name} has a shape that is no list of sizes`);
  }
  const [from, to] = Array.isArray(range) && range.length === 2 ? (range as unknown[]) : [];
  if (!isSize(from) || !isSize(to) || to < from) {
    return fail(file, 'offsets', `${name} has offsets that are no range`);
  }
  const elements = shape.reduce((a: bigint, n) => a * BigInt(n), 1n);
  const needed = elements * BigInt(bits);
  if (needed % 8n !== 0n || needed / 8n !== BigInt(to - from)) {
    return fail(
      file,
      'size',
      `${name}, ${dtype} [${shape.join(', ')}], does not fill its ${to - from} bytes`,
    );
  }
  return { file, dtype, shape, offset: start + from, bytes: to - from };
}

/** JSON.parse keeps the last of equal keys: a count of the keys in the text finds them. */
function checkDuplicates(file: string, text: string, count: number): void {
  const keys = [...text.matchAll(/"((?:[^"\\]|\\.)*)"\s*:\s*\{\s*"/g)].filter(
    (m) => m[1] !== '__metadata__',
  );
  if (keys.length > count) fail(file, 'duplicate', 'a tensor is named twice');
}

/** A safetensors file of f32 tensors, its data section aligned to 8 bytes. */
export function writeSafetensors(
  tensors: readonly {
    readonly name: string;
    readonly shape: readonly number[];
    readonly data: Float32Array;
  }[],
): Uint8Array {
  const header: Record<string, unknown> = {};
  let end = 0;
  for (const t of tensors) {
    header[t.name] = { dtype: 'F32', shape: t.shape, data_offsets: [end, end + t.data.byteLength] };
    end += t.data.byteLength;
  }
  const json = JSON.stringify(header);
  const text = new TextEncoder().encode(json.padEnd(Math.ceil(json.length / 8) * 8, ' '));
  const out = new Uint8Array(8 + text.length + end);
  new DataView(out.buffer).setBigUint64(0, BigInt(text.length), true);
  out.set(text, 8);
  let at = 8 + text.length;
  for (const t of tensors) {
    out.set(new Uint8Array(t.data.buffer, t.data.byteOffset, t.data.byteLength), at);
    at += t.data.byteLength;
  }
  return out;
}
