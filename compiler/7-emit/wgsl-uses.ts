/** How a kernel uses its tiles: what decides how arrays are declared. */
import { present } from '../base/invariant.ts';
import { bytesOf } from '../base/type.ts';
import type { Expr } from '../scalar/expr.ts';
import { children } from '../scalar/walk.ts';
import type { Axis, Kernel, Stmt, Tile } from '../5-kernel/kernel.ts';

export interface ParamUse {
  readonly stored: boolean;
  /** Elements of less than 32 bits are stored. */
  readonly narrow: boolean;
  /** Four words are read at once from a multiple of four of them on. */
  readonly wide: boolean;
  /** Every access is of that kind. */
  readonly wideOnly: boolean;
}

/** Names whose values are known to be multiples of something. */
export type Divisors = ReadonlyMap<string, number>;

const most = 4;
const divisorOf = (n: number): number => (n % 4 === 0 ? 4 : n % 2 === 0 ? 2 : 1);

/** The largest power of two up to 4 that every value of an i32 expression is a multiple of, as far as can be seen. */
export function divisor(e: Expr, known: Divisors): number {
  const go = (x: Expr): number => divisor(x, known);
  switch (e.op) {
    case 'const':
      return divisorOf(e.value);
    case 'var':
      return known.get(e.name) ?? 1;
    case 'add':
    case 'sub':
    case 'min':
    case 'max':
    case 'rem':
    case 'select':
      return Math.min(go(e.a), go(e.b));
    case 'mul':
      return Math.min(most, go(e.a) * go(e.b));
    case 'and':
      return Math.max(go(e.a), go(e.b));
    case 'shl':
      return e.b.op === 'const' ? Math.min(most, go(e.a) * 2 ** Math.min(e.b.value, 2)) : go(e.a);
    default:
      return 1;
  }
}

/** What an axis runs over is a multiple of; a thread's own first iteration is `step` times its number. */
export const axisDivisor = (axis: Axis, known: Divisors): number =>
  Math.min(divisor(axis.from, known), divisorOf(axis.step));

/** Whether a load of four words is one of an aligned vector. */
export const isWide = (e: Extract<Expr, { op: 'load' }>, tile: Tile, known: Divisors): boolean =>
  e.lanes === 4 && bytesOf[tile.dtype] === 4 && divisor(e.index, known) === 4;

/** Of every tile of the kernel that is no register. */
export function usesOf(kernel: Kernel): ReadonlyMap<string, ParamUse> {
  const uses = new Map<string, { -readonly [K in keyof ParamUse]: ParamUse[K] }>();
  const tiles = new Map<string, Tile>();
  const declare = (t: Tile): void => {
    tiles.set(t.name, t);
    if (!uses.has(t.name))
      uses.set(t.name, { stored: false, narrow: false, wide: false, wideOnly: true });
  };
  kernel.params.forEach(declare);
  const read = (e: Expr, known: Divisors): void => {
    children(e).forEach((c) => read(c, known));
    if (e.op !== 'load') return;
    const use = present(uses.get(e.tile), e.tile);
    if (isWide(e, present(tiles.get(e.tile)), known)) use.wide = true;
    else use.wideOnly = false;
  };
  const visit = (stmts: readonly Stmt[], outer: Divisors): void => {
    const known = new Map(outer);
    for (const s of stmts) {
      switch (s.kind) {
        case 'let':
          read(s.value, known);
          if (s.value.dtype === 'i32') known.set(s.name, divisor(s.value, known));
          break;
        case 'tile':
          declare(s.tile);
          break;
        case 'store': {
          read(s.index, known);
          read(s.value, known);
          const tile = present(tiles.get(s.tile), s.tile);
          const use = present(uses.get(s.tile));
          use.stored = true;
          if (bytesOf[tile.dtype] < 4) use.narrow = true;
          if (s.value.lanes !== 4 || divisor(s.index, known) !== 4) use.wideOnly = false;
          break;
        }
        case 'loop':
          read(s.axis.from, known);
          read(s.axis.to, known);
          visit(s.body, new Map(known).set(s.axis.name, axisDivisor(s.axis, known)));
          break;
        case 'if':
          read(s.when, known);
          visit(s.then, known);
          visit(s.otherwise, known);
          break;
        case 'role':
          visit(s.body, known);
          break;
        case 'barrier':
        case 'copy':
        case 'wait':
        case 'mma':
        case 'prefetch':
        case 'comment':
          break;
      }
    }
  };
  visit(kernel.body, new Map());
  return uses;
}
