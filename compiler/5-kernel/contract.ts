/**
 * Products with weights: stage the operand rows, then unit by unit the product, then what follows.
 * Threads share the units; each stages the operand for itself, which for norms costs less than a
 * barrier does.
 */
import { invariant, present } from '../base/invariant.ts';
import { bytesOf } from '../base/type.ts';
import type { ValueId } from '../3-graph/graph.ts';
import type { Contraction, Group, NodeFacts, PlannedWeight, Region } from '../4-partition/plan.ts';
import {
  type Expr,
  add,
  arithmetic,
  int,
  load,
  min,
  mul,
  num,
  sub,
  variable,
} from '../scalar/expr.ts';
import { type Frame, columnsOf, element, productOf, rowCount, tileWord } from './frame.ts';
import type { Stmt } from './kernel.ts';
import { bandRows, perStep, stepBytes, tileGeometry } from './layout.ts';
import {
  type Linear,
  addIndex,
  constantIndex,
  flatten,
  indexExpr,
  loopIndex,
  scaleIndex,
  unflatten,
} from './linear.ts';
import { type LoopAxis, storeLoops } from './loops.ts';
import { type Share, emitNodes, wholeShare } from './nodes.ts';
import { bandProduct } from './product.ts';
import { floatingNodes } from './rows.ts';
import { loop, named, store } from './statements.ts';
import type { Plan } from '../4-partition/plan.ts';
import { type LowerContext } from './context.ts';
import { unitShare } from './share.ts';

/** Tokens staged at a time, and tokens that share a pass over the weights. */
export const tokensStaged = 32;
export const tokensTogether = 4;

type ContractRegion = Extract<Region, { kind: 'contract' }>;

/** An operand in the thread's scratch or, when nothing is to be done, in memory. */
interface Staged {
  readonly tile: string;
  /** Element where the row of `token` (of all), the `local`-th of the stage, begins; per slot. */
  row(token: Expr, local: Expr, slot: Linear): Expr;
}

export function lowerContract(ctx: LowerContext, region: ContractRegion): Stmt[] {
  const { builder: b, plan } = ctx;
  const block = b.fresh('block');
  const end = named(
    b.fresh('end'),
    min(add(variable(block), int(tokensStaged)), rowCount(region.axis)),
  );
  const staging: Stmt[] = [];
  const stages = new Map<ValueId, Staged>();
  for (const a of region.groups.flatMap((g) => g.anchors)) {
    const c = present(a.contraction);
    const x = present(a.node.inputs[c.x]);
    if (stages.has(x)) continue;
    const per = perStep(weightOf(plan, a).dtype);
    const direct = c.k % per === 0 ? directStage(ctx, x, c) : undefined;
    const stage = direct ?? copyStage(ctx, x, c, per, variable(block), end.ref, staging);
    stages.set(x, stage);
  }
  const groups = region.groups.flatMap((g) => lowerGroup(ctx, g, stages, variable(block), end.ref));
  return [
    loop(
      block,
      0,
      rowCount(region.axis),
      [end.stmt, ...staging, ...groups],
      'serial',
      tokensStaged,
    ),
  ];
}

/** x as it lies in memory, if it does and only its shape differs. */
function directStage(ctx: LowerContext, x: ValueId, c: Contraction): Staged | undefined {
  const { plan, builder } = ctx;
  let v = x;
  for (;;) {
    const buffer = plan.buffers.get(v);
    if (buffer) {
      const tile = builder.param({ kind: 'buffer', buffer: buffer.id }, buffer.dtype, 'x');
      return {
        tile,
        row: (token, _local, slot) =>
          add(mul(token, int(buffer.width)), indexExpr(scaleIndex(slot, c.k))),
      };
    }
    const facts = plan.producers.get(v);
    if (facts?.lowered.kind !== 'view') return undefined;
    v = present(facts.node.inputs[0]);
  }
}

/** Statements that compute x row by row into scratch, k padded with zeros to whole steps. */
function copyStage(
  ctx: LowerContext,
  x: ValueId,
  c: Contraction,
  per: number,
  block: Expr,
  end: Expr,
  out: Stmt[],
): Staged {
  const { builder: b, plan } = ctx;
  const padded = Math.ceil(c.k / per) * per;
  const slots = c.xSlots ? present(c.slots) : 1;
  const width = slots * padded;
  const tile = b.scratch('staged', tokensStaged * width);
  const token = b.fresh('token');
  const local = named(b.fresh('local'), mul(sub(variable(token), block), int(width)));
  const frame: Frame = {
    plan,
    builder: b,
    row: loopIndex(token, Infinity),
    locals: new Map(),
  };
  const nodes = floatingNodes(plan, [x]);
  const work = emitNodes({ frame, share: (v) => wholeShare(frame, v), stores: new Set(), nodes });
  const sizes = columnsOf(plan, x);
  const axes = sizes.map((extent): LoopAxis => ({ hint: 'i', extent }));
  const copy = storeLoops(b, axes, (index) => {
    const inRow = flatten(index, sizes);
    const parts = slots === 1 ? inRow : paddedOffset(index, sizes, c.k, padded);
    return {
      tile,
      index: add(local.ref, indexExpr(parts)),
      value: element(frame, x, [frame.row, ...index]),
    };
  });
  const zeros = Array.from({ length: padded - c.k }, (_, i) => i).flatMap((i) =>
    Array.from({ length: slots }, (_, s) =>
      store(tile, add(local.ref, int(s * padded + c.k + i)), num(0)),
    ),
  );
  out.push(loop(token, block, end, [local.stmt, ...work, ...copy, ...zeros]));
  return {
    tile,
    row: (_token, localRow, slot) =>
      add(mul(localRow, int(width)), indexExpr(scaleIndex(slot, padded))),
  };
}

function paddedOffset(
  index: readonly Linear[],
  sizes: readonly number[],
  k: number,
  padded: number,
): Linear {
  const [slot, inner] = unflatten(flatten(index, sizes), [productOf(sizes) / k, k]);
  invariant(slot !== undefined && inner !== undefined, 'a row of slots');
  return addIndex(scaleIndex(slot, padded), inner);
}

const weightOf = (plan: Plan, a: NodeFacts): PlannedWeight =>
  present(plan.weights.get(present(a.node.inputs[present(a.contraction).weight])), 'weight');

function lowerGroup(
  ctx: LowerContext,
  group: Group,
  stages: ReadonlyMap<ValueId, Staged>,
  block: Expr,
  end: Expr,
): Stmt[] {
  const { builder: b } = ctx;
  const u = b.fresh('unit');
  const units = Math.ceil(group.columns / group.unit);
  const single = group.anchors.some((a) => present(a.contraction).ids !== undefined);
  const m = b.fresh('token');
  const count = named(b.fresh('count'), sub(end, block));
  const body: Stmt[] = [];
  if (single) {
    body.push(loop(m, block, end, tokenTile(ctx, group, stages, u, variable(m), block, 1)));
  } else {
    const full = named(
      b.fresh('full'),
      add(block, arithmetic('and', count.ref, int(-tokensTogether))),
    );
    const four = tokenTile(ctx, group, stages, u, variable(m), block, tokensTogether);
    const rest = b.fresh('token');
    const one = tokenTile(ctx, group, stages, u, variable(rest), block, 1);
    body.push(
      count.stmt,
      full.stmt,
      loop(m, block, full.ref, four, 'serial', tokensTogether),
      loop(rest, full.ref, end, one),
    );
  }
  return [loop(u, 0, units, body, 'thread')];
}

/** A unit of columns for `tokens` tokens from `first` on. */
function tokenTile(
  ctx: LowerContext,
  group: Group,
  stages: ReadonlyMap<ValueId, Staged>,
  u: string,
  first: Expr,
  block: Expr,
  tokens: number,
): Stmt[] {
  const { builder: b, plan } = ctx;
  const paddedUnit = Math.ceil(group.unit / bandRows) * bandRows;
  const products: Stmt[] = [];
  const places = new Map<ValueId, { tile: string; width: number }>();
  for (const a of group.anchors) {
    const c = present(a.contraction);
    const slots = c.slots ?? 1;
    const y = b.scratch('y', tokens * slots * paddedUnit);
    places.set(present(a.node.results[0]), { tile: y, width: slots * paddedUnit });
    products.push(
      ...anchorProduct(ctx, a, {
        u,
        first,
        block,
        tokens,
        paddedUnit,
        y,
        stages,
        unit: group.unit,
      }),
    );
  }
  const m = b.fresh('m');
  const local = loopIndex(m, tokens);
  const row: Linear = addIndex(
    {
      constant: 0,
      terms: [{ key: JSON.stringify(first), atom: first, extent: Infinity, factor: 1 }],
    },
    local,
  );
  const frame: Frame = { plan, builder: b, row, locals: new Map() };
  const unit = loopIndex(u, Math.ceil(group.columns / group.unit));
  for (const [v, { tile, width }] of places) {
    const hasSlots = group.slots.has(v);
    frame.locals.set(v, {
      kind: 'tile',
      tile,
      dtype: 'f32',
      place: (index) => {
        const columns = index.slice(1);
        const slot = hasSlots ? present(columns[0]) : constantIndex(0);
        const rest = hasSlots ? columns.slice(1) : columns;
        const sizes = columnsOf(plan, v).slice(hasSlots ? 1 : 0);
        const inUnit = addIndex(flatten(rest, sizes), scaleIndex(unit, -group.unit));
        return [scaleIndex(local, width), scaleIndex(slot, paddedUnit), inUnit].reduce(addIndex);
      },
    });
  }
  const share = (v: ValueId): Share => unitShare(plan, group, unit, v);
  const stores = new Set(group.stores);
  const anchorsKept = group.anchors.flatMap((a) => a.node.results.filter((v) => stores.has(v)));
  const kept = anchorsKept.flatMap((v) => keepAnchor(ctx, frame, share(v), v));
  const epilogue = emitNodes({ frame, share, stores, nodes: group.epilogue });
  const after = [...kept, ...epilogue];
  return [...products, ...(tokens === 1 ? after : [loop(m, 0, tokens, after)])];
}

/** Stores an anchor's own value. */
function keepAnchor(ctx: LowerContext, frame: Frame, share: Share, v: ValueId): Stmt[] {
  const buffer = present(ctx.plan.buffers.get(v));
  const tile = ctx.builder.param({ kind: 'buffer', buffer: buffer.id }, buffer.dtype, 'x');
  const sizes = columnsOf(ctx.plan, v);
  return storeLoops(ctx.builder, share.axes, (index) => {
    const columns = share.columns(index);
    return {
      tile,
      index: indexExpr(addIndex(scaleIndex(frame.row, buffer.width), flatten(columns, sizes))),
      value: element(frame, v, [frame.row, ...columns]),
    };
  });
}

interface TileAt {
  readonly u: string;
  readonly first: Expr;
  readonly block: Expr;
  readonly tokens: number;
  readonly paddedUnit: number;
  readonly unit: number;
  readonly y: string;
  readonly stages: ReadonlyMap<ValueId, Staged>;
}

function anchorProduct(ctx: LowerContext, a: NodeFacts, t: TileAt): Stmt[] {
  const { builder: b, plan } = ctx;
  const c = present(a.contraction);
  const w = weightOf(plan, a);
  invariant(
    w.layout.kind === 'tiles' && w.layout.unit === t.unit,
    () => `${w.name} has two layouts`,
  );
  const g = tileGeometry(c.n, c.k, w.dtype, t.unit);
  const tile = b.param(
    { kind: 'weight', weight: w.id },
    tileWord(w.dtype),
    w.name.split('.').at(-1) ?? 'w',
  );
  const stage = present(t.stages.get(present(a.node.inputs[c.x])));
  const slots = c.slots ?? 1;
  const slotName = b.fresh('slot');
  const slot = loopIndex(slotName, slots);
  const stmts: Stmt[] = [];
  const unitWords = mul(variable(t.u), int(g.unitBytes / 4));
  let start = unitWords;
  if (c.ids !== undefined) {
    const v = present(a.node.inputs[c.ids]);
    const buffer = present(plan.buffers.get(v), 'expert numbers in memory');
    const ids = b.param({ kind: 'buffer', buffer: buffer.id }, buffer.dtype, 'ids');
    const id = named(
      b.fresh('expert'),
      load(ids, add(mul(t.first, int(buffer.width)), indexExpr(slot)), 'i32'),
    );
    stmts.push(id.stmt);
    start = add(mul(id.ref, int(g.matrixBytes / 4)), unitWords);
  }
  const from = named(b.fresh('words'), start);
  stmts.push(from.stmt);
  const rows = Array.from({ length: t.tokens }, (_, i) => {
    const token = add(t.first, int(i));
    const row = named(
      b.fresh('row'),
      stage.row(token, sub(token, t.block), c.xSlots ? slot : constantIndex(0)),
    );
    stmts.push(row.stmt);
    return row.ref;
  });
  const band = b.fresh('band');
  const bands = t.paddedUnit / bandRows;
  const bandIndex = bands === 1 ? int(0) : variable(band);
  const words = g.steps * bandRows * (stepBytes / 4);
  const product = bandProduct(b, {
    weight: tile,
    dtype: w.dtype,
    band: add(from.ref, mul(bandIndex, int(words))),
    steps: g.steps,
    x: stage.tile,
    rows,
    y: t.y,
    out: (m) =>
      add(
        add(mul(bandIndex, int(bandRows)), indexExpr(scaleIndex(slot, t.paddedUnit))),
        int(m * slots * t.paddedUnit),
      ),
  });
  stmts.push(...(bands === 1 ? product : [loop(band, 0, bands, product)]));
  invariant(bytesOf[w.dtype] <= 4, 'weights of at most four bytes');
  return slots === 1 ? stmts : [loop(slotName, 0, slots, stmts)];
}
