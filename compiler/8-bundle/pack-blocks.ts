/** Quantised matrices from a checkpoint's own order of bits into the layout `blocks`. */
import type { Field, QuantScheme } from '../base/scheme.ts';
import { bitsOf } from '../base/number-format.ts';
import {
  type BlockGeometry,
  type LevelPlace,
  bandOf,
  levelAt,
  planeAt,
} from '../5-kernel/blocks.ts';
import { bandRows } from '../5-kernel/layout.ts';
import {
  type Cell,
  type Cells,
  type Gather,
  type MatrixSize,
  type Stores,
  gatherOf,
  stretchOf,
} from '../scalar/gather.ts';

/** Cells of one width for each band and stretch of columns. */
interface Move {
  readonly gather: Gather;
  readonly out: Cells;
  /** Bytes of a cell, and of the band between stretches. */
  readonly bytes: number;
  readonly apart: number;
  readonly stretches: number;
}

/**
 * The bytes of one matrix [n, k] in the layout of `g`. Codes and levels keep their bits; rows and
 * columns that only fill up are zeros. `out`: where they go, zeros before.
 */
export function packBlocks(
  scheme: QuantScheme,
  stores: Stores,
  size: MatrixSize,
  g: BlockGeometry,
  unit: number,
  out: Uint8Array = new Uint8Array(g.matrixBytes),
): Uint8Array {
  const { buffer, byteOffset: start } = out;
  const views = {
    1: out,
    2: new Uint16Array(buffer, start, g.matrixBytes / 2),
    4: new Int32Array(buffer, start, g.matrixBytes / 4),
  };
  const moveOf = (field: Field, bytes: 1 | 2 | 4, cellsFor: (columns: number) => Cell[]): Move => {
    const stretch = stretchOf(field, size, g.block);
    return {
      gather: gatherOf(field, stores, size, stretch, cellsFor(stretch)),
      out: views[bytes],
      bytes,
      apart: (stretch / g.block) * g.blockBytes,
      stretches: Math.ceil(size.k / stretch),
    };
  };
  const moves = [
    ...g.rowLevels.map((p) => ({ ...moveOf(p.level, p.bytes, () => [levelCell(g, p, 0)]), stretches: 1 })), // prettier-ignore
    ...g.levels.map((p) => moveOf(p.level, p.bytes, (columns) => levelCells(g, p, columns))),
    moveOf(scheme.codes, 4, (columns) => wordsOf(g, columns)),
  ];
  for (let row = 0; row < size.n;) {
    const { at } = bandOf(g, unit, row);
    const rows = { first: row, count: rowsOfBand(row, unit, size.n), step: 1 };
    const most = Math.max(...moves.map((m) => m.stretches));
    for (let s = 0; s < most; s++) {
      for (const m of moves) {
        if (s < m.stretches) m.gather.run(m.out, (at + s * m.apart) / m.bytes, rows, s);
      }
    }
    row += rows.count;
  }
  return out;
}

/** Rows of the band that begins with `row`: units begin new bands. */
const rowsOfBand = (row: number, unit: number, n: number): number =>
  Math.min(bandRows, unit - (row % unit), n - row);

const levelCell = (g: BlockGeometry, p: LevelPlace, k: number): Cell => ({
  at: levelAt(g, p, 0, k) / p.bytes,
  parts: [{ k, from: 0, bits: bitsOf(p.level.format), to: 0 }],
});

const levelCells = (g: BlockGeometry, p: LevelPlace, columns: number): Cell[] =>
  Array.from({ length: columns / p.group }, (_, i) => levelCell(g, p, i * p.group));

/** The words of all planes. */
function wordsOf(g: BlockGeometry, columns: number): Cell[] {
  const words = new Map<number, Cell & { parts: Cell['parts'][number][] }>();
  for (const plane of g.planes) {
    for (let k = 0; k < columns; k++) {
      const { byte, shift } = planeAt(g, plane, 0, k);
      const at = Math.floor(byte / 4);
      const word = words.get(at) ?? { at, parts: [] };
      word.parts.push({ k, from: plane.from, bits: plane.bits, to: 8 * (byte % 4) + shift });
      words.set(at, word);
    }
  }
  return [...words.values()];
}
