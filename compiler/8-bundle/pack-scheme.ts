/** Weights kept in a scheme into the layout `blocks`, from whatever the checkpoint has. */
import { invariant, present } from '../base/invariant.ts';
import { codeOf } from '../base/number-format.ts';
import { type QuantScheme, printScheme } from '../base/scheme.ts';
import type { DType } from '../base/type.ts';
import { type BlockGeometry, bandOf, blockGeometry, levelAt, planeAt } from '../5-kernel/blocks.ts';
import type { WeightLayout } from '../5-kernel/layout.ts';
import { type MatrixSize } from '../scalar/gather.ts';
import { type Quantised, quantiseMatrix } from '../scalar/quantise.ts';
import { packBlocks } from './pack-blocks.ts';
import type { TensorEntry } from './safetensors.ts';
import { numbersOf } from './tensor.ts';

/**
 * The matrices of `shape` in their layout. Where the checkpoint keeps the tensor in the scheme, its
 * codes stay; else its numbers, stored as `from`, are quantised, each matrix by itself.
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
  const size: MatrixSize = { n, k };
  const count = shape.slice(0, -2).reduce((a, b) => a * b, 1);
  const g = blockGeometry(n, k, scheme, unit);
  const kept = entry.scheme !== undefined && printScheme(entry.scheme) === printScheme(scheme);
  const matrix = (i: number): Uint8Array => {
    if (kept) {
      const each = stored.byteLength / count;
      return packBlocks(
        scheme,
        { blocks: stored.subarray(i * each, (i + 1) * each) },
        size,
        g,
        unit,
      );
    }
    const numbers = present(all).subarray(i * n * k, (i + 1) * n * k);
    return packQuantised(scheme, quantiseMatrix(scheme, numbers, size), size, g, unit);
  };
  const all = kept ? undefined : numbersOf(stored, entry, from, from);
  if (count === 1) return matrix(0);
  const out = new Uint8Array(count * g.matrixBytes);
  for (let i = 0; i < count; i++) out.set(matrix(i), i * g.matrixBytes);
  return out;
}

/** A quantised matrix in the layout of `g`. */
export function packQuantised(
  scheme: QuantScheme,
  q: Quantised,
  size: MatrixSize,
  g: BlockGeometry,
  unit: number,
): Uint8Array {
  const out = new Uint8Array(g.matrixBytes);
  const view = new DataView(out.buffer);
  for (let n = 0; n < size.n; n++) {
    const { at, lane } = bandOf(g, unit, n);
    for (const p of [...g.rowLevels, ...g.levels]) {
      const step = p.group === 0 ? size.k : p.group;
      for (let k = 0; k < size.k; k += step) {
        const to = at + levelAt(g, p, lane, k);
        const code = codeOf(p.level.format, q.level(p.level, n, k));
        if (p.bytes === 1) view.setUint8(to, code);
        else if (p.bytes === 2) view.setUint16(to, code, true);
        else view.setUint32(to, code, true);
      }
    }
    for (let k = 0; k < size.k; k++) {
      const code = q.codes[n * size.k + k] ?? 0;
      for (const plane of g.planes) {
        const { byte, shift } = planeAt(g, plane, lane, k);
        const part = (code >> plane.from) & (2 ** plane.bits - 1);
        out[at + byte] = (out[at + byte] ?? 0) | (part << shift);
      }
    }
  }
  return out;
}
