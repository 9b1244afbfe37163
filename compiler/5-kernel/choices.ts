/**
 * Products of tokens with the matrices of experts that they have chosen: tokens with the same expert
 * share a pass over its matrix. Each thread sorts the staged tokens by expert for itself, which costs
 * less than a barrier. Who shares a pass changes no sum.
 */
import { present } from '../base/invariant.ts';
import type { Group, NodeFacts } from '../4-partition/plan.ts';
import {
  type Expr, add, arithmetic, compare, div, int, load, mul, rem, sub, variable,
} from '../scalar/expr.ts'; // prettier-ignore
import type { LowerContext } from './context.ts';
import type { Stmt } from './kernel.ts';
import { constantIndex, opaqueIndex } from './linear.ts';
import type { Staged, StagedBlock, StagedCodes, StagedFloats } from './staging.ts';
import { loop, named, store, when } from './statements.ts';
import {
  expertOf, expertsOf, paddedUnitOf, rowProducts, stridesOf, weightOf,
} from './unit-products.ts'; // prettier-ignore

/** Pairs of a staged token and one of its slots, in the order of the experts chosen for them. */
export interface Choices {
  /** i32; of each place in the order the number of its pair: local token * slots + slot. */
  readonly pairs: string;
  /** i32; of each pair its place. */
  readonly places: string;
  /** i32; the pairs of expert e have the places from bounds[e] to bounds[e + 1]. */
  readonly bounds: string;
}

const slotsOf = (a: NodeFacts): number => present(present(a.contraction).slots, 'slots of choices');

type Tokens = Pick<StagedBlock, 'tokens' | 'block' | 'end'>;

/** A loop over all pairs: the local token, the slot, the number of the pair. */
function eachPair(
  { builder: b }: LowerContext,
  a: NodeFacts,
  { block, end }: Tokens,
  body: (token: Expr, slot: Expr, pair: Expr) => readonly Stmt[],
): Stmt {
  const [token, slot] = [b.fresh('token'), b.fresh('slot')];
  const local = sub(variable(token), block);
  const pair = named(b.fresh('pair'), add(mul(local, int(slotsOf(a))), variable(slot)));
  const inner = [pair.stmt, ...body(variable(token), variable(slot), pair.ref)];
  return loop(token, block, end, [loop(slot, 0, slotsOf(a), inner)]);
}

/** Statements that sort what the tokens have chosen for `a`. */
export function listChoices(ctx: LowerContext, a: NodeFacts, at: Tokens, out: Stmt[]): Choices {
  const { builder: b, plan } = ctx;
  const experts = expertsOf(plan, a);
  const pairs = b.scratch('pairs', at.tokens * slotsOf(a), 'i32');
  const places = b.scratch('places', at.tokens * slotsOf(a), 'i32');
  // While pairs are given places, bounds[e + 1] is where the next of expert e goes.
  const bounds = b.scratch('bounds', experts + 2, 'i32');
  const bound = (e: Expr): Expr => load(bounds, e, 'i32');
  const [e, f] = [b.fresh('e'), b.fresh('e')];
  const next = add(variable(f), int(1));
  out.push(
    loop(e, 0, experts + 2, [store(bounds, variable(e), int(0))]),
    eachPair(ctx, a, at, (token, slot) => {
      const own = named(b.fresh('own'), add(expertOf(ctx, a, token, slot), int(2)));
      return [own.stmt, store(bounds, own.ref, add(bound(own.ref), int(1)))];
    }),
    loop(f, 0, experts + 1, [store(bounds, next, add(bound(next), bound(variable(f))))]),
    eachPair(ctx, a, at, (token, slot, pair) => {
      const own = named(b.fresh('own'), add(expertOf(ctx, a, token, slot), int(1)));
      const place = named(b.fresh('place'), bound(own.ref));
      return [
        own.stmt,
        place.stmt,
        store(bounds, own.ref, add(place.ref, int(1))),
        store(pairs, place.ref, pair),
        store(places, pair, place.ref),
      ];
    }),
  );
  return { pairs, places, bounds };
}

/** Statements that copy rows of codes so that those with the same expert follow each other; floats stay. */
export function sortedRows(
  ctx: LowerContext,
  a: NodeFacts,
  x: Staged,
  { places }: Choices,
  at: Tokens,
  out: Stmt[],
): Staged {
  if (x.kind === 'floats') return x;
  const { builder: b, machine } = ctx;
  const rows = at.tokens * slotsOf(a);
  const copies: ((from: Expr, to: Expr) => Stmt)[] = [];
  const sorted = (hint: string, tile: string, perRow: number, dtype: 'u32' | 'i32' | 'f32') => {
    const copy = b.scratch(hint, rows * perRow, dtype);
    const lanes = [16, 8, 4].find((l) => l <= machine.lanes && perRow % l === 0) ?? 1;
    copies.push((from, to) => {
      const i = b.fresh('i');
      const scalar = dtype === 'f32' ? 'f32' : 'i32';
      const value = load(tile, add(mul(from, int(perRow)), variable(i)), scalar, lanes);
      const body = [store(copy, add(mul(to, int(perRow)), variable(i)), value)];
      return loop(i, 0, perRow, body, lanes === 1 ? 'serial' : 'vector', lanes);
    });
    return copy;
  };
  const own: StagedCodes = {
    ...x,
    words: sorted('words', x.words, x.perRow, 'u32'),
    pairs: x.pairs && sorted('halves', x.pairs, 2 * x.perRow, 'u32'),
    scales: sorted('scales', x.scales, x.scalesPerRow, 'f32'),
    sums: x.sums.map((s) => ({
      ...s,
      tile: sorted('sums', s.tile, s.perRow, s.factor === undefined ? 'f32' : 'i32'),
    })),
  };
  const { xSlots } = present(a.contraction);
  out.push(
    eachPair(ctx, a, at, (token, slot, pair) => {
      const xSlot = xSlots ? opaqueIndex(JSON.stringify(slot), slot, slotsOf(a)) : constantIndex(0);
      const from = named(b.fresh('from'), x.row(sub(token, at.block), xSlot));
      const to = named(b.fresh('to'), load(places, pair, 'i32'));
      return [from.stmt, to.stmt, ...copies.map((copy) => copy(from.ref, to.ref))];
    }),
  );
  return own;
}

/** The products of unit `unit` with all staged tokens, in the order of the choices. */
export function sharedProducts(
  ctx: LowerContext,
  group: Group,
  a: NodeFacts,
  { pairs, bounds }: Choices,
  unit: string,
  block: Expr,
  y: string,
  stage: Staged,
): Stmt[] {
  const { builder: b, machine, plan } = ctx;
  const paddedUnit = paddedUnitOf(group);
  const strides = stridesOf(weightOf(plan, a));
  const e = b.fresh('expert');
  const from = named(b.fresh('from'), load(bounds, variable(e), 'i32'));
  const to = named(b.fresh('to'), load(bounds, add(variable(e), int(1)), 'i32'));
  const words = named(
    b.fresh('words'),
    add(mul(variable(e), int(strides.matrix / 4)), mul(variable(unit), int(strides.unit / 4))),
  );

  /** Rows of `size` places from `first` on. */
  const pass = (first: Expr, size: number): Stmt[] => {
    const places = Array.from({ length: size }, (_, i) => add(first, int(i)));
    const starts =
      stage.kind === 'codes'
        ? []
        : places.map((p) =>
            named(b.fresh('row'), floatRow(a, stage, block, load(pairs, p, 'i32'))),
          );
    const at = {
      unit: group.unit,
      paddedUnit,
      starts: [words.ref],
      next: strides.matrix / 4,
      rows: stage.kind === 'codes' ? places : starts.map((r) => r.ref),
      stage,
      ys: [y],
      out: (m: number): Expr => add(mul(first, int(paddedUnit)), int(m * paddedUnit)),
    };
    return [...starts.map((r) => r.stmt), ...rowProducts(ctx, a, at)];
  };

  const { together } = machine;
  const count = sub(to.ref, from.ref);
  const some = (size: number): Expr => arithmetic('and', count, int(size));
  const full = named(b.fresh('full'), add(from.ref, some(-together)));
  const p = b.fresh('p');
  const body: Stmt[] = [
    from.stmt,
    to.stmt,
    words.stmt,
    full.stmt,
    loop(p, from.ref, full.ref, pass(variable(p), together), 'serial', together),
  ];
  // What is left: half as many, half of that.
  let rest = full.ref;
  for (let size = together / 2; size >= 1; size /= 2) {
    body.push(when(compare('ne', some(size), int(0)), pass(rest, size)));
    const next = named(b.fresh('rest'), add(rest, some(size)));
    if (size > 1) body.push(next.stmt);
    rest = next.ref;
  }
  return [loop(e, 0, expertsOf(plan, a), body)];
}

/** Where the row of a pair begins in an operand of floats. */
function floatRow(a: NodeFacts, stage: StagedFloats, block: Expr, pair: Expr): Expr {
  const local = div(pair, int(slotsOf(a)));
  const slot = rem(pair, int(slotsOf(a)));
  const { xSlots } = present(a.contraction);
  const xSlot = xSlots ? opaqueIndex(JSON.stringify(slot), slot, slotsOf(a)) : constantIndex(0);
  return stage.row(add(block, local), local, xSlot);
}
