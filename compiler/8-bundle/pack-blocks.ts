/** Quantised matrices from a checkpoint's own order of bits into the layout `blocks`. */
import type { QuantScheme } from '../base/scheme.ts';
import { type BlockGeometry, bandOf, levelAt, planeAt } from '../5-kernel/blocks.ts';
import { type MatrixSize, type Stores, codesOf } from '../scalar/quantise.ts';

/**
 * The bytes of one matrix [n, k] in the layout of `g`. Codes and levels keep their bits; rows and
 * columns that only fill up are zeros.
 */
export function packBlocks(
  scheme: QuantScheme,
  stores: Stores,
  size: MatrixSize,
  g: BlockGeometry,
  unit: number,
): Uint8Array {
  const out = new Uint8Array(g.matrixBytes);
  const view = new DataView(out.buffer);
  const planes = g.planes.map((plane) => ({ plane, mask: 2 ** plane.bits - 1 }));
  const places = [...g.rowLevels, ...g.levels];
  const code = codesOf(scheme.codes, stores, size);
  const numbers = places.map((p) => ({ p, read: codesOf(p.level, stores, size) }));
  for (let n = 0; n < size.n; n++) {
    const { at, lane } = bandOf(g, unit, n);
    for (const { p, read } of numbers) {
      const step = p.group === 0 ? size.k : p.group;
      for (let k = 0; k < size.k; k += step) {
        const to = at + levelAt(g, p, lane, k);
        if (p.bytes === 1) view.setUint8(to, read(n, k));
        else if (p.bytes === 2) view.setUint16(to, read(n, k), true);
        else view.setUint32(to, read(n, k), true);
      }
    }
    for (let k = 0; k < size.k; k++) {
      const c = code(n, k);
      for (const { plane, mask } of planes) {
        const { byte, shift } = planeAt(g, plane, lane, k);
        out[at + byte] = (out[at + byte] ?? 0) | (((c >> plane.from) & mask) << shift);
      }
    }
  }
  return out;
}
