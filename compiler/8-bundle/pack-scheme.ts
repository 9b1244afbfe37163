/** Weights kept in a scheme into the layout `blocks`, from whatever the checkpoint has. */
import { invariant } from '../base/invariant.ts';
import { bitsOf, codeOf } from '../base/number-format.ts';
import { type Field, type Level, type QuantScheme, printScheme } from '../base/scheme.ts';
import type { DType } from '../base/type.ts';
import { blockGeometry } from '../5-kernel/blocks.ts';
import type { WeightLayout } from '../5-kernel/layout.ts';
import type { MatrixSize } from '../scalar/gather.ts';
import { type Quantised, quantiseMatrix } from '../scalar/quantise.ts';
import { packBlocks } from './pack-blocks.ts';
import type { TensorEntry } from './safetensors.ts';
import { numbersOf } from './tensor.ts';

/** Elements that are quantised at once: they stand there as doubles. */
const atOnce = 2 ** 20;

/**
 * The matrices of `shape` in their layout. Where the checkpoint keeps the tensor in the scheme, its
 * codes stay; else its numbers, stored as `from`, are quantised.
 */
export function packScheme(
  stored: Uint8Array,
  entry: TensorEntry,
  from: DType,
  shape: readonly number[],
  { scheme, unit }: Extract<WeightLayout, { kind: 'blocks' }>,
): Uint8Array {
  const [n, k] = shape.slice(-2);
  invariant(n !== undefined && k !== undefined, 'a matrix has two axes');
  const count = shape.slice(0, -2).reduce((a, b) => a * b, 1);
  const g = blockGeometry(n, k, scheme, unit);
  const kept = entry.scheme !== undefined && printScheme(entry.scheme) === printScheme(scheme);
  // What is kept is read as it lies; rows of numbers are quantised each by itself, some units at once.
  const rowsAtOnce = kept ? n : unit * Math.max(1, Math.floor(atOnce / (k * unit)));
  const rowBytes = stored.byteLength / (count * n);
  const out = new Uint8Array(count * g.matrixBytes);
  for (let matrix = 0; matrix < count; matrix++) {
    for (let row = 0; row < n; row += rowsAtOnce) {
      const size = { n: Math.min(rowsAtOnce, n - row), k };
      const start = (matrix * n + row) * rowBytes;
      const bytes = stored.subarray(start, start + size.n * rowBytes);
      const to = out.subarray(matrix * g.matrixBytes + (row / unit) * g.unitBytes);
      if (kept) packBlocks(scheme, { blocks: bytes }, size, g, unit, to);
      else packNumbers(scheme, bytes, { ...entry, shape: [size.n, k] }, from, size, unit, to);
    }
  }
  return out;
}

function packNumbers(
  scheme: QuantScheme,
  stored: Uint8Array,
  entry: TensorEntry,
  from: DType,
  size: MatrixSize,
  unit: number,
  out: Uint8Array,
): void {
  const numbers = numbersOf(stored, entry, from, from);
  const { plain, stores } = plainly(scheme, quantiseMatrix(scheme, numbers, size), size);
  packBlocks(plain, stores, size, blockGeometry(size.n, size.k, plain, unit), unit, out);
}

/** The same scheme with its codes in words, one after the other, and such stores of a matrix. */
function plainly(scheme: QuantScheme, q: Quantised, size: MatrixSize) {
  const stores: Record<string, Uint8Array> = { codes: bytesOf(q.codes) };
  const field = ({ format }: Field, store: string, group: number): Field => ({
    format,
    store,
    pieces: [
      {
        bits: bitsOf(format),
        offset: 0,
        digits: [
          { axis: 'k', size: group, step: 0 },
          { axis: 'k', step: 32 },
          { axis: 'n', step: 32, times: { axis: 'k', per: group } },
        ],
      },
    ],
  });
  const level = (l: Level): Level => {
    const group = l.group.k === 0 ? size.k : l.group.k;
    const columns = Math.ceil(size.k / group);
    const codes = Int32Array.from({ length: size.n * columns }, (_, i) =>
      codeOf(l.format, q.level(l, Math.floor(i / columns), (i % columns) * group)),
    );
    const store = `level ${Object.keys(stores).length}`;
    stores[store] = bytesOf(codes);
    return { ...field(l, store, group), group: l.group };
  };
  const { zero } = scheme;
  const plain: QuantScheme = {
    ...scheme,
    codes: field(scheme.codes, 'codes', 1),
    scales: scheme.scales.map(level),
    zero:
      zero.kind === 'integer'
        ? { ...zero, field: level(zero.field) }
        : zero.kind === 'minimum'
          ? { ...zero, levels: zero.levels.map(level) }
          : zero,
  };
  return { plain, stores };
}

const bytesOf = (words: Int32Array): Uint8Array => new Uint8Array(words.buffer);
