/**
 * Bits of a field brought from a store to where they are wanted. Where each bit is and goes is found
 * once a matrix, for one stretch of columns; then whole words move, row by row and stretch by stretch.
 */
import { invariant, present } from '../base/invariant.ts';
import type { Field, Piece } from '../base/scheme.ts';

/** Bytes by the name of the store. */
export type Stores = Readonly<Record<string, Uint8Array>>;

export interface MatrixSize {
  readonly n: number;
  readonly k: number;
}

/** What an index of one axis adds to the bit of a piece: the axes do not meet. */
export function bitAlong(piece: Piece, axis: 'n' | 'k', index: number, size: MatrixSize): number {
  let rest = index;
  let bit = 0;
  for (const d of piece.digits) {
    if (d.axis !== axis) continue;
    const digit = d.size === undefined ? rest : rest % d.size;
    rest = d.size === undefined ? 0 : Math.floor(rest / d.size);
    const times = d.times ? Math.ceil(size[d.times.axis] / d.times.per) : 1;
    bit += digit * d.step * times;
  }
  return bit;
}

/** Some bits of the code at column `k`, from bit `from` on, in a cell from its bit `to` on. */
export interface Part {
  readonly k: number;
  readonly from: number;
  readonly bits: number;
  readonly to: number;
}

/** An element of the output, and what it is made of. */
export interface Cell {
  readonly at: number;
  readonly parts: readonly Part[];
}

export type Cells = Uint8Array | Uint16Array | Int32Array;

/** `count` rows from `first` on, whose cells are `step` elements of the output apart. */
export interface Rows {
  readonly first: number;
  readonly count: number;
  readonly step: number;
}

export interface Gather {
  /**
   * Sets bits of `out`, which are 0 before: the cells of the rows for stretch number `stretch`, the
   * first row's cell 0 at `out[at]`.
   */
  run(out: Cells, at: number, rows: Rows, stretch: number): void;
}

/** Windows of 4 bytes: `mask` of the word at byte `offset` of a place, turned left by `turn` bits. */
interface Terms {
  readonly cell: Int32Array;
  readonly place: Int32Array;
  readonly offset: Int32Array;
  readonly turn: Int32Array;
  readonly mask: Int32Array;
}

/** Where the rows and stretches of a piece begin; pieces whose indices add alike share one. */
interface Place {
  /** Bits, of which the odd ones are the row's phase. */
  readonly rows: Float64Array;
  /** The same in whole bytes. */
  readonly rowBytes: Int32Array;
  readonly stretchBytes: Int32Array;
}

/** The first bit of a piece at row 0, for each column of the first stretch. */
interface Source {
  readonly place: number;
  readonly bits: number;
  readonly columns: Float64Array;
}

/**
 * The columns that `cells` may speak of: `unit` where every unit of columns lies as the first one
 * does, whole bytes further, else all of them.
 */
export function stretchOf(field: Field, size: MatrixSize, unit: number): number {
  const repeats = field.pieces.every((piece) => {
    const first = Float64Array.from({ length: unit }, (_, k) => bitAlong(piece, 'k', k, size));
    for (let start = unit; start < size.k; start += unit) {
      const base = bitAlong(piece, 'k', start, size);
      if (base % 8 !== 0) return false;
      const end = Math.min(unit, size.k - start);
      for (let k = 1; k < end; k++) {
        if (bitAlong(piece, 'k', start + k, size) - base !== first[k]) return false;
      }
    }
    return true;
  });
  return repeats ? unit : Math.ceil(size.k / unit) * unit;
}

/** Brings codes of `field` into cells that are made for a stretch of columns (see `stretchOf`). */
export function gatherOf(
  field: Field,
  stores: Stores,
  size: MatrixSize,
  stretch: number,
  cells: readonly Cell[],
): Gather {
  const places: Place[] = [];
  const sources = field.pieces.map((piece) => sourceOf(piece, size, stretch, places));
  const { kinds, phases } = kindsOf(places, size.n);
  const upTo = (columns: number): readonly Terms[] =>
    phases.map((phase) => termsOf(sources, phase, cells, columns));
  const stretches = Math.ceil(size.k / stretch);
  const full = upTo(stretch);
  const rest = size.k % stretch === 0 ? full : upTo(size.k % stretch);
  const view = viewOf(stores[field.store], places, stretches > 1 ? [...full, ...rest] : rest);
  return {
    run(out, at, rows, number) {
      const plans = number === stretches - 1 ? rest : full;
      for (let kind = 0; kind < plans.length; kind++) {
        const terms = present(plans[kind]);
        for (let t = 0; t < terms.cell.length; t++) {
          const place = present(places[terms.place[t] ?? 0]);
          const from = (terms.offset[t] ?? 0) + (place.stretchBytes[number] ?? 0);
          const to = at + (terms.cell[t] ?? 0);
          move(view, place.rowBytes, from, out, to, rows, kinds, kind, terms.turn[t] ?? 0, terms.mask[t] ?? 0); // prettier-ignore
        }
      }
    },
  };
}

/** One word of each row. All that is hot is here: a loop for each type, for engines compile by types. */
function move(
  view: DataView,
  rowBytes: Int32Array,
  from: number,
  out: Cells,
  to: number,
  { first, count, step }: Rows,
  kinds: Uint8Array,
  kind: number,
  turn: number,
  mask: number,
): void {
  const end = first + count;
  const back = 32 - turn;
  if (out instanceof Int32Array) {
    for (let row = first, cell = to; row < end; row++, cell += step) {
      if (kinds[row] !== kind) continue;
      const w = view.getInt32((rowBytes[row] ?? 0) + from, true);
      out[cell] = (out[cell] ?? 0) | (((w << turn) | (w >>> back)) & mask);
    }
  } else if (out instanceof Uint16Array) {
    for (let row = first, cell = to; row < end; row++, cell += step) {
      if (kinds[row] !== kind) continue;
      const w = view.getInt32((rowBytes[row] ?? 0) + from, true);
      out[cell] = (out[cell] ?? 0) | (((w << turn) | (w >>> back)) & mask);
    }
  } else {
    for (let row = first, cell = to; row < end; row++, cell += step) {
      if (kinds[row] !== kind) continue;
      const w = view.getInt32((rowBytes[row] ?? 0) + from, true);
      out[cell] = (out[cell] ?? 0) | (((w << turn) | (w >>> back)) & mask);
    }
  }
}

function sourceOf(piece: Piece, size: MatrixSize, stretch: number, places: Place[]): Source {
  const along = (axis: 'n' | 'k', count: number, step: number): Float64Array =>
    Float64Array.from({ length: count }, (_, i) => bitAlong(piece, axis, i * step, size));
  const rows = along('n', size.n, 1);
  const rowBytes = Int32Array.from(rows, (b) => Math.floor(b / 8));
  const stretchBytes = Int32Array.from(along('k', Math.ceil(size.k / stretch), stretch), (b) => b / 8); // prettier-ignore
  const found = places.findIndex((p) => equal(p.rows, rows) && equal(p.stretchBytes, stretchBytes));
  const place = found < 0 ? places.push({ rows, rowBytes, stretchBytes }) - 1 : found;
  const columns = along('k', Math.min(stretch, size.k), 1).map((b) => b + piece.offset);
  return { place, bits: piece.bits, columns };
}

const equal = (a: ArrayLike<number>, b: ArrayLike<number>): boolean => {
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return a.length === b.length;
};

/** Rows whose odd bits are the same in every place are of one kind: `phases[kind][place]`. */
function kindsOf(
  places: readonly Place[],
  rows: number,
): { readonly kinds: Uint8Array; readonly phases: readonly (readonly number[])[] } {
  const known = new Map<string, number>();
  const phases: (readonly number[])[] = [];
  const kinds = Uint8Array.from({ length: rows }, (_, n) => {
    const own = places.map((p) => (p.rows[n] ?? 0) % 8);
    const key = own.join(' ');
    const kind = known.get(key) ?? phases.push(own) - 1;
    known.set(key, kind);
    return kind;
  });
  invariant(phases.length <= 256, () => `rows begin in ${phases.length} ways inside of bytes`);
  return { kinds, phases };
}

interface Bit {
  readonly place: number;
  readonly cell: number;
  /** Bit of the cell, and of the row's stretch. */
  readonly to: number;
  readonly from: number;
}

/** Bits that go equally far and lie in one window move together. */
function termsOf(
  sources: readonly Source[],
  phase: readonly number[],
  cells: readonly Cell[],
  columns: number,
): Terms {
  const groups: (readonly Bit[])[] = [];
  for (const { at, parts } of cells) {
    const own = new Map<string, Bit[]>();
    for (const bit of bitsOfCell(sources, phase, at, parts, columns)) {
      const key = `${bit.place} ${bit.from - bit.to}`;
      own.set(key, [...(own.get(key) ?? []), bit]);
    }
    for (const bits of own.values()) groups.push(...windows(bits));
  }
  const column = (of: (bits: readonly Bit[], first: Bit, window: number) => number): Int32Array =>
    Int32Array.from(groups, (bits) => {
      const [first, last] = [present(bits[0], 'a bit'), present(bits.at(-1), 'a bit')];
      // A window ends with its last bit where it can: so it ends inside of the store.
      return of(bits, first, Math.max(0, Math.floor(last.from / 8) - 3));
    });
  return {
    cell: column((_, first) => first.cell),
    place: column((_, first) => first.place),
    offset: column((_, __, window) => window),
    turn: column((_, { from, to }, window) => (to - (from - 8 * window) + 32) % 32),
    mask: column((bits) => bits.reduce((m, { to }) => m | (1 << to), 0)),
  };
}

function bitsOfCell(
  sources: readonly Source[],
  phase: readonly number[],
  cell: number,
  parts: readonly Part[],
  columns: number,
): readonly Bit[] {
  const out: Bit[] = [];
  for (const part of parts) {
    if (part.k >= columns) continue;
    let low = 0;
    for (const s of sources) {
      const start = (s.columns[part.k] ?? 0) + (phase[s.place] ?? 0);
      const [from, end] = [Math.max(low, part.from), Math.min(low + s.bits, part.from + part.bits)];
      for (let b = from; b < end; b++) {
        out.push({ place: s.place, cell, to: part.to + b - part.from, from: start + b - low });
      }
      low += s.bits;
    }
  }
  return out;
}

/** Bits of one distance, cut so that each part fits a window of 4 bytes. */
function windows(bits: readonly Bit[]): readonly (readonly Bit[])[] {
  const sorted = [...bits].sort((a, b) => a.from - b.from);
  const out: Bit[][] = [];
  let end = -1;
  for (const bit of sorted) {
    if (bit.from >= end) {
      end = 8 * Math.floor(bit.from / 8) + 32;
      out.push([]);
    }
    present(out.at(-1), 'a window').push(bit);
  }
  return out;
}

/** The store, followed by zeros where windows reach beyond it. */
function viewOf(
  bytes: Uint8Array = new Uint8Array(0),
  places: readonly Place[],
  terms: readonly Terms[],
): DataView {
  const most = (a: Int32Array): number => a.reduce((x, y) => Math.max(x, y), 0);
  const starts = places.map((p) => most(p.rowBytes) + most(p.stretchBytes));
  const ends = terms.flatMap(({ offset, place }) =>
    Array.from(offset, (o, t) => o + 4 + (starts[place[t] ?? 0] ?? 0)),
  );
  const needed = ends.reduce((x, y) => Math.max(x, y), 0);
  invariant(
    needed < 2 ** 31,
    () => `a matrix of ${needed} bytes; less than 2 GiB are read at once`,
  );
  if (needed <= bytes.byteLength) return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength); // prettier-ignore
  const longer = new Uint8Array(needed);
  longer.set(bytes);
  return new DataView(longer.buffer);
}
