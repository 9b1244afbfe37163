/** Products of units of columns: which rows of an operand, which matrix, where the results go. */
import { invariant, present } from '../base/invariant.ts';
import type { DType } from '../base/type.ts';
import type { ValueId } from '../3-graph/graph.ts';
import type { Group, NodeFacts, PlannedWeight, Plan } from '../4-partition/plan.ts';
import { type Expr, add, int, load, max, min, mul, sub, variable } from '../scalar/expr.ts';
import { blockGeometry } from './blocks.ts';
import { blockProduct } from './block-product.ts';
import { type LowerContext } from './context.ts';
import { tileWord } from './frame.ts';
import type { Stmt } from './kernel.ts';
import { bandRows, stepBytes, tileGeometry } from './layout.ts';
import { type Linear, constantIndex, indexExpr, loopIndex, scaleIndex } from './linear.ts';
import { bandProduct } from './product.ts';
import type { Staged } from './staging.ts';
import { loop, named } from './statements.ts';

export const operandOf = (a: NodeFacts): ValueId =>
  present(a.node.inputs[present(a.contraction).x], 'operand of a product');

export const weightOf = (plan: Plan, a: NodeFacts): PlannedWeight =>
  present(plan.weights.get(present(a.node.inputs[present(a.contraction).weight])), 'weight');

export function geometryOf(w: PlannedWeight) {
  const [n, k] = w.shape.slice(-2);
  invariant(w.layout.kind === 'blocks', () => `${w.name} is in no blocks`);
  return blockGeometry(present(n), present(k), w.layout.scheme, w.layout.unit);
}

/** Columns of a unit with those that fill up its last band. */
export const paddedUnitOf = (group: Group): number => Math.ceil(group.unit / bandRows) * bandRows;

/** Bytes from one of the weight's matrices to the next, and from one unit of a matrix to the next. */
export function stridesOf(w: PlannedWeight): { readonly matrix: number; readonly unit: number } {
  const { layout } = w;
  const [n, k] = w.shape.slice(-2);
  invariant(layout.kind === 'tiles' || layout.kind === 'blocks', () => `${w.name} is no matrix`);
  const g =
    layout.kind === 'blocks'
      ? geometryOf(w)
      : tileGeometry(present(n), present(k), w.dtype, layout.unit);
  return { matrix: g.matrixBytes, unit: g.unitBytes };
}

/** The number of the expert that a token has chosen for a slot, one of those that are there. */
export function expertOf(ctx: LowerContext, a: NodeFacts, token: Expr, slot: Expr): Expr {
  const { builder: b, plan } = ctx;
  const v = present(a.node.inputs[present(present(a.contraction).ids)]);
  const buffer = present(plan.buffers.get(v), 'expert numbers in memory');
  const ids = b.param({ kind: 'buffer', buffer: buffer.id }, buffer.dtype, 'ids');
  const id = load(ids, add(mul(token, int(buffer.width)), slot), 'i32');
  return max(int(0), min(id, int(expertsOf(plan, a) - 1)));
}

export const expertsOf = (plan: Plan, a: NodeFacts): number =>
  present(weightOf(plan, a).shape[0], 'matrices of experts');

/** Rows of an operand that pass over the same columns of the same matrix. */
export interface RowsAt {
  readonly unit: number;
  readonly paddedUnit: number;
  /** Words where the units that are computed side by side begin. */
  readonly starts: readonly Expr[];
  /** Words from there to the unit that is passed over next, where that is elsewhere. */
  readonly next?: number;
  /** Rows of the staged operand: their elements (floats) or their numbers, one after the other (codes). */
  readonly rows: readonly Expr[];
  readonly stage: Staged;
  /** For each unit where its columns go: those of row m from element `out(m)` on. */
  readonly ys: readonly string[];
  readonly out: (m: number) => Expr;
}

/** The products of all bands of units. */
export function rowProducts(ctx: LowerContext, a: NodeFacts, t: RowsAt): Stmt[] {
  const { builder: b, machine, plan } = ctx;
  const w = weightOf(plan, a);
  const c = present(a.contraction);
  const { layout } = w;
  invariant(
    (layout.kind === 'tiles' || layout.kind === 'blocks') && layout.unit === t.unit,
    () => `${w.name} has two layouts`,
  );
  const g = layout.kind === 'blocks' ? geometryOf(w) : tileGeometry(c.n, c.k, w.dtype, t.unit);
  const weight = (dtype: DType): string =>
    b.param({ kind: 'weight', weight: w.id }, dtype, w.name.split('.').at(-1) ?? 'w');
  const band = b.fresh('band');
  const bands = t.paddedUnit / bandRows;
  const bandBytes = 'bandBytes' in g ? g.bandBytes : g.steps * bandRows * stepBytes;
  // Halves of a single unit are streams too.
  const halves =
    machine.streams > 1 &&
    t.starts.length * t.rows.length === 1 &&
    bands % 2 === 0 &&
    t.stage.kind === 'codes'
      ? 2
      : 1;
  const rounds = bands / halves;
  const parts = t.starts.flatMap((start, i) =>
    Array.from({ length: halves }, (_, half) => {
      const index = add(rounds === 1 ? int(0) : variable(band), int(half * rounds));
      const at = add(start, mul(index, int(bandBytes / 4)));
      return {
        band: at,
        ...(t.next === undefined ? {} : { next: add(at, int(t.next)) }),
        rows: t.rows,
        y: present(t.ys[i]),
        out: (m: number): Expr => add(mul(index, int(bandRows)), t.out(m)),
      };
    }),
  );
  const product =
    'bandBytes' in g && layout.kind === 'blocks'
      ? blockProduct(
          b,
          machine,
          parts.map((p) => ({ ...p, scheme: layout.scheme, geometry: g, weight })),
          t.stage,
        )
      : parts.flatMap((p) =>
          bandProduct(b, machine, {
            ...p,
            weight: weight(tileWord(w.dtype)),
            dtype: w.dtype,
            steps: 'steps' in g ? g.steps : 0,
            x: floatsOf(t.stage).tile,
          }),
        );
  return rounds === 1 ? product : [loop(band, 0, rounds, product)];
}

function floatsOf(stage: Staged): Extract<Staged, { kind: 'floats' }> {
  invariant(stage.kind === 'floats', 'matrices of floats take floats');
  return stage;
}

export interface TokensAt {
  /** Numbers of the units that are computed side by side. */
  readonly units: readonly string[];
  /** The first of the tokens, and the first that is staged. */
  readonly first: Expr;
  readonly block: Expr;
  readonly tokens: number;
  /** For each unit where its columns go: those of token m's slot s from (m * slots + s) * padded unit on. */
  readonly ys: readonly string[];
  readonly y: Expr;
  readonly stages: ReadonlyMap<ValueId, Staged>;
}

/** The products of units with consecutive tokens, for each slot by itself. */
export function tokenProducts(ctx: LowerContext, group: Group, a: NodeFacts, t: TokensAt): Stmt[] {
  const { builder: b, plan } = ctx;
  const c = present(a.contraction);
  const stage = present(t.stages.get(operandOf(a)));
  const paddedUnit = paddedUnitOf(group);
  const slots = c.slots ?? 1;
  const slotName = b.fresh('slot');
  const slot = loopIndex(slotName, slots);
  const strides = stridesOf(weightOf(plan, a));
  const stmts: Stmt[] = [];
  const let_ = (hint: string, value: Expr): Expr => {
    const { stmt, ref } = named(b.fresh(hint), value);
    stmts.push(stmt);
    return ref;
  };
  const matrix =
    c.ids === undefined
      ? int(0)
      : mul(let_('expert', expertOf(ctx, a, t.first, indexExpr(slot))), int(strides.matrix / 4));
  const starts = t.units.map((u) =>
    let_('words', add(matrix, mul(variable(u), int(strides.unit / 4)))),
  );
  const xSlot = c.xSlots ? slot : constantIndex(0);
  const rows = rowsOf(stage, t, xSlot, let_);
  const out = (m: number): Expr =>
    add(add(t.y, indexExpr(scaleIndex(slot, paddedUnit))), int(m * slots * paddedUnit));
  const at = { unit: group.unit, paddedUnit, starts, rows, stage, ys: t.ys, out };
  stmts.push(...rowProducts(ctx, a, at));
  return slots === 1 ? stmts : [loop(slotName, 0, slots, stmts)];
}

/** Rows of consecutive tokens, which have no slots where there are several. */
function rowsOf(
  stage: Staged,
  { first, block, tokens }: TokensAt,
  slot: Linear,
  let_: (hint: string, value: Expr) => Expr,
): readonly Expr[] {
  const each = Array.from({ length: tokens }, (_, i) => add(first, int(i)));
  if (stage.kind === 'floats') {
    return each.map((token) => let_('row', stage.row(token, sub(token, block), slot)));
  }
  const row = let_('row', stage.row(sub(first, block), slot));
  return each.map((_, i) => add(row, int(i)));
}
