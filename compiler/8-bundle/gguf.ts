/** GGUF: metadata and tensor infos, then the tensors' bytes. All is checked before any is read. */
import { CheckpointError } from '../base/failure.ts';
import type { QuantScheme } from '../base/scheme.ts';
import type { Files } from './files.ts';
import type { TensorEntry } from './safetensors.ts';

/** What a tensor type of the file stores: `elements` of a row in `bytes` bytes. */
export interface BlockType {
  readonly name: string;
  /** In safetensors' spelling; of blocks, the type of the numbers they stand for. */
  readonly dtype: string;
  readonly elements: number;
  readonly bytes: number;
  readonly scheme?: QuantScheme;
}

/** Tensor types by the number that files write. */
export type BlockTypes = ReadonlyMap<number, BlockType>;

/** 64-bit integers are numbers where they are exact. */
export type GgufValue = number | bigint | boolean | string | readonly GgufValue[];

export interface Gguf {
  readonly metadata: ReadonlyMap<string, GgufValue>;
  /** By the file's own names; shapes have the contiguous axis last. */
  readonly tensors: ReadonlyMap<string, TensorEntry>;
}

/** Beyond these a file is damaged or hostile. */
const limits = { header: 2 ** 28, tensors: 2 ** 20, keys: 2 ** 16, nesting: 4, name: 64 };

const firstRead = 2 ** 20;

const fail = (file: string, code: string, what: string): never => {
  throw new CheckpointError(`checkpoint/${code}`, `${file}: ${what}`);
};

/** The header goes on behind the bytes that were read. */
class Short extends Error {}

/** Throws CheckpointError if anything about the file is not as it must be. */
export async function readGguf(files: Files, file: string, types: BlockTypes): Promise<Gguf> {
  const size = await files.size(file);
  if (size === undefined) return fail(file, 'missing', 'there is no such file');
  const most = Math.min(size, limits.header);
  for (let length = Math.min(firstRead, most); ; length = Math.min(2 * length, most)) {
    try {
      return readHeader(file, await files.read(file, 0, length), size, types);
    } catch (e) {
      if (!(e instanceof Short)) throw e;
      if (length === size) fail(file, 'truncated', 'the file ends inside its header');
      if (length === most) fail(file, 'header', `a header of more than ${limits.header} bytes`);
    }
  }
}

interface Cursor {
  readonly file: string;
  /** Bytes up to the end of the file, be they read or not. */
  left(): number;
  at(): number;
  bytes(count: number): DataView;
  u32(): number;
  /** A 64-bit count of at most `most` things; `what` names them. */
  count(what: string, most: number): number;
  text(): string;
}

function cursorOf(file: string, bytes: Uint8Array, size: number): Cursor {
  const decoder = new TextDecoder();
  let at = 0;
  const take = (count: number): DataView => {
    if (count > size - at) fail(file, 'truncated', 'the file ends inside its header');
    if (count > bytes.byteLength - at) throw new Short();
    at += count;
    return new DataView(bytes.buffer, bytes.byteOffset + at - count, count);
  };
  const count = (what: string, most: number): number => {
    const n = take(8).getBigUint64(0, true);
    return n > BigInt(most) ? fail(file, 'header', `${n} ${what}; at most ${most}`) : Number(n);
  };
  return {
    file,
    left: () => size - at,
    at: () => at,
    bytes: take,
    u32: () => take(4).getUint32(0, true),
    count,
    text: () => decoder.decode(take(count('bytes of a text', size))),
  };
}

function readHeader(file: string, bytes: Uint8Array, size: number, types: BlockTypes): Gguf {
  const c = cursorOf(file, bytes, size);
  if (c.u32() !== 0x46554747) fail(file, 'header', 'no GGUF file: it does not begin with GGUF');
  const version = c.u32();
  if ((version & 0xffff) === 0) fail(file, 'version', 'a big-endian GGUF file');
  if (version !== 2 && version !== 3) {
    fail(file, 'version', `GGUF version ${version}; versions 2 and 3 are read`);
  }
  const tensors = c.count('tensors', limits.tensors);
  const keys = c.count('metadata keys', limits.keys);
  const metadata = new Map<string, GgufValue>();
  for (let i = 0; i < keys; i++) {
    const key = c.text();
    if (metadata.has(key)) fail(file, 'duplicate', `the key ${shown(key)} is there twice`);
    metadata.set(key, readValue(c, c.u32(), 0));
  }
  const align = metadata.get('general.alignment') ?? 32;
  if (typeof align !== 'number' || !(align >= 1 && align <= 2 ** 20) || 2 ** Math.round(Math.log2(align)) !== align) {
    return fail(file, 'header', 'general.alignment is no power of two up to 2^20');
  } // prettier-ignore
  const infos = Array.from({ length: tensors }, () => readInfo(c, types));
  return { metadata, tensors: placed(c, infos, align, size) };
}

/** Bytes of a value by its type; 0 where the value says. */
const sizes = [1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8];

function readValue(c: Cursor, type: number, depth: number): GgufValue {
  const size = sizes[type];
  if (size === undefined) return fail(c.file, 'header', `metadata of the unknown type ${type}`);
  if (type === 8) return c.text();
  if (type === 9) return readArray(c, depth);
  const v = c.bytes(size);
  switch (type) {
    case 0:
      return v.getUint8(0);
    case 1:
      return v.getInt8(0);
    case 2:
      return v.getUint16(0, true);
    case 3:
      return v.getInt16(0, true);
    case 4:
      return v.getUint32(0, true);
    case 5:
      return v.getInt32(0, true);
    case 6:
      return v.getFloat32(0, true);
    case 7: {
      const b = v.getUint8(0);
      return b > 1 ? fail(c.file, 'header', `a bool of value ${b}`) : b === 1;
    }
    case 10:
      return exact(v.getBigUint64(0, true));
    case 11:
      return exact(v.getBigInt64(0, true));
    default:
      return v.getFloat64(0, true);
  }
}

const exact = (n: bigint): number | bigint => (Number.isSafeInteger(Number(n)) ? Number(n) : n);

function readArray(c: Cursor, depth: number): readonly GgufValue[] {
  if (depth >= limits.nesting) fail(c.file, 'header', 'arrays nested too deeply');
  const type = c.u32();
  // A text takes 8 bytes at least, an array 12: no count beyond the file's end is believed.
  const least = (type === 9 ? 12 : type === 8 ? 8 : sizes[type]) ?? 1;
  const count = c.count('elements of an array', Math.floor(limits.header / least));
  if (count * least > c.left()) fail(c.file, 'truncated', 'an array ends behind the file');
  const out: GgufValue[] = [];
  for (let i = 0; i < count; i++) out.push(readValue(c, type, depth + 1));
  return out;
}

interface Info {
  readonly name: string;
  readonly type: BlockType;
  readonly shape: readonly number[];
  readonly offset: number;
  readonly bytes: number;
}

function readInfo(c: Cursor, types: BlockTypes): Info {
  const name = c.text();
  if (name === '' || name.length > limits.name) {
    fail(c.file, 'header', `the tensor name ${shown(name)}, of 1 to ${limits.name} characters`);
  }
  const axes = c.u32();
  if (axes > 4) fail(c.file, 'shape', `${name} has ${axes} axes; at most 4`);
  const most = Number.MAX_SAFE_INTEGER;
  const shape = Array.from({ length: axes }, () => c.count(`elements in an axis of ${name}`, most));
  shape.reverse();
  const number = c.u32();
  const type = types.get(number);
  if (!type) {
    const known = [...types.values()].map((t) => t.name).join(', ');
    return fail(c.file, 'type', `${name} has the type ${number}, which is none of ${known}`);
  }
  const row = shape.at(-1) ?? 1;
  if (row % type.elements !== 0) {
    fail(c.file, 'shape', `${name} has rows of ${row}, no multiple of ${type.name}'s ${type.elements}`); // prettier-ignore
  }
  const elements = shape.reduce((a: bigint, n) => a * BigInt(n), 1n);
  const bytes = (elements / BigInt(type.elements)) * BigInt(type.bytes);
  const offset = c.count(`as the offset of ${name}`, most);
  if (bytes > BigInt(c.left())) {
    fail(c.file, 'truncated', `${name} needs ${bytes} bytes, the file has not so many`);
  }
  return { name, type, shape, offset, bytes: Number(bytes) };
}

/** Tensors lie one after the other, each begun at a multiple of the alignment. */
function placed(
  c: Cursor,
  infos: readonly Info[],
  align: number,
  size: number,
): ReadonlyMap<string, TensorEntry> {
  const padded = (n: number): number => Math.ceil(n / align) * align;
  const start = padded(c.at());
  const sorted = [...infos].sort((a, b) => a.offset - b.offset || a.bytes - b.bytes);
  let end = 0;
  for (const t of sorted) {
    if (t.offset % align !== 0) fail(c.file, 'offsets', `${t.name} begins at no multiple of ${align}`); // prettier-ignore
    if (t.offset < end) fail(c.file, 'overlap', `${t.name} overlaps another tensor`);
    if (t.offset > padded(end)) fail(c.file, 'gap', `${t.name} leaves a gap before it`);
    end = t.offset + t.bytes;
  }
  if (infos.length > 0 && start + end > size) {
    fail(c.file, 'truncated', `the tensors need ${start + end} bytes, the file has ${size}`);
  }
  if (size > start + padded(end)) {
    fail(c.file, 'trailing', `${size - start - end} bytes follow the last tensor`);
  }
  const tensors = new Map<string, TensorEntry>();
  for (const { name, type, shape, offset, bytes } of infos) {
    if (tensors.has(name)) fail(c.file, 'duplicate', `the tensor ${name} is named twice`);
    const { dtype, scheme } = type;
    const entry = { file: c.file, dtype, shape, offset: start + offset, bytes };
    tensors.set(name, scheme ? { ...entry, scheme } : entry);
  }
  return tensors;
}

const shown = (text: string): string => JSON.stringify(text.slice(0, 60));
