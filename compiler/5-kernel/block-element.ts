/** One element of a matrix in the layout `blocks`: what a table's rows are read by. */
import { invariant, present } from '../base/invariant.ts';
import type { DType } from '../base/type.ts';
import type { PlannedWeight } from '../4-partition/plan.ts';
import { type Expr, add, arithmetic, int, load, mul, num, sub } from '../scalar/expr.ts';
import { type LevelPlace, blockGeometry, placeOfLevel } from './blocks.ts';
import type { Builder } from './builder.ts';
import { scalarOf } from './kernel.ts';
import { bandRows } from './layout.ts';
import {
  type Linear,
  addIndex,
  constantIndex,
  divideIndex,
  dynamicDivide,
  indexExpr,
  scaleIndex,
} from './linear.ts';
import { numberOf, tileTypeOf } from './numbers.ts';

const split = (a: Linear, by: number) => divideIndex(a, by) ?? dynamicDivide(a, by);

/** The element at `index` [row, k] as f32. */
export function blockElement(b: Builder, w: PlannedWeight, index: readonly Linear[]): Expr {
  const { layout } = w;
  invariant(layout.kind === 'blocks' && w.shape.length === 2, 'a table has two axes');
  const { scheme } = layout;
  const [n, k] = w.shape;
  const g = blockGeometry(present(n), present(k), scheme, layout.unit);
  const row = split(present(index[0]), layout.unit);
  const band = split(row.remainder, bandRows);
  const at = split(present(index[1]), g.block);
  const bandByte = addIndex(scaleIndex(row.quotient, g.unitBytes), scaleIndex(band.quotient, g.bandBytes)); // prettier-ignore
  const blockByte = [bandByte, constantIndex(g.headBytes), scaleIndex(at.quotient, g.blockBytes)].reduce(addIndex); // prettier-ignore
  const tile = (dtype: DType): string =>
    b.param({ kind: 'weight', weight: w.id }, dtype, w.name.split('.').at(-1) ?? 'w');

  const level = (p: LevelPlace): Expr => {
    const dtype = tileTypeOf(p.level.format, p.bytes);
    const group = p.group === 0 ? constantIndex(0) : split(at.remainder, p.group).quotient;
    const inPlace = addIndex(scaleIndex(group, bandRows), band.remainder);
    const start = addIndex(p.group === 0 ? bandByte : blockByte, constantIndex(p.at));
    const element = addIndex(unitsOf(start, p.bytes), inPlace);
    return numberOf(load(tile(dtype), indexExpr(element), scalarOf(dtype)), p.level.format);
  };
  const code = g.planes.reduce<Expr | undefined>((sum, plane) => {
    const word = split(at.remainder, plane.perWord);
    const byte = split(word.remainder, 4);
    const place = [
      addIndex(blockByte, constantIndex(plane.at)),
      scaleIndex(word.quotient, bandRows * 4),
      scaleIndex(band.remainder, 4),
      byte.remainder,
    ].reduce(addIndex);
    const raw = load(tile('u8'), indexExpr(place), 'i32');
    const shifted = arithmetic('shr', raw, mul(indexExpr(byte.quotient), int(plane.bits)));
    const own = arithmetic('and', shifted, int(2 ** plane.bits - 1));
    const placed = arithmetic('shl', own, int(plane.from));
    return sum === undefined ? placed : arithmetic('or', sum, placed);
  }, undefined);
  const product = (levels: readonly Expr[]): Expr => levels.reduce((a, c) => mul(a, c));
  const { zero } = scheme;
  const levels = (all: readonly LevelPlace['level'][]): Expr[] =>
    all.map((l) => level(placeOfLevel(g, l)));
  const raw = add(numberOf(signedCode(present(code), scheme.codes.format), scheme.codes.format), num(scheme.offset)); // prettier-ignore
  const shifted =
    zero.kind === 'integer'
      ? sub(raw, add(level(placeOfLevel(g, zero.field)), num(zero.add)))
      : raw;
  const scaled = product([...levels(scheme.scales), shifted]);
  return zero.kind === 'minimum' ? sub(scaled, product(levels(zero.levels))) : scaled;
}

/** Bytes as elements of a tile; layouts align what they hold. */
function unitsOf(bytes: Linear, size: number): Linear {
  const parts = divideIndex(bytes, size);
  invariant(parts !== undefined, 'levels are aligned');
  return parts.quotient;
}

/** A code of eight bits that carries a sign, extended as a tile of bytes would. */
function signedCode(code: Expr, format: LevelPlace['level']['format']): Expr {
  if (format.kind !== 'int' || format.bits !== 8) return code;
  return sub(arithmetic('xor', code, int(128)), int(128));
}
