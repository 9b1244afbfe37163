/**
 * Products with weights: lay out the operand rows, then unit by unit the product, then what follows.
 * Threads share the units; each lays out the operand for itself, which for norms costs less than a
 * barrier does.
 */
import { invariant, present } from '../base/invariant.ts';
import type { DType } from '../base/type.ts';
import type { ValueId } from '../3-graph/graph.ts';
import type { Group, NodeFacts, PlannedWeight, Plan, Region } from '../4-partition/plan.ts';
import {
  type Expr,
  add,
  arithmetic,
  compare,
  int,
  load,
  min,
  mul,
  sub,
  variable,
} from '../scalar/expr.ts';
import { quantisedFrom } from './activation.ts';
import { blockGeometry } from './blocks.ts';
import { gcd, readsPairs, sumsFor } from './block-codes.ts';
import { blockProduct } from './block-product.ts';
import { type LowerContext } from './context.ts';
import { type Frame, columnsOf, element, rowCount, tileWord } from './frame.ts';
import type { Stmt } from './kernel.ts';
import { bandRows, perStep, stepBytes, tileGeometry } from './layout.ts';
import { type Linear, addIndex, constantIndex, flatten, indexExpr, loopIndex, scaleIndex } from './linear.ts'; // prettier-ignore
import { storeLoops } from './loops.ts';
import { type Share, emitNodes } from './nodes.ts';
import { bandProduct } from './product.ts';
import { unitShare } from './share.ts';
import {
  type StageRequest, type Staged, codeStage, directStage, floatStage,
} from './staging.ts'; // prettier-ignore
import { letStmt, loop, named, when } from './statements.ts';

type ContractRegion = Extract<Region, { kind: 'contract' }>;

export function lowerContract(ctx: LowerContext, region: ContractRegion): Stmt[] {
  const { builder: b, machine } = ctx;
  const block = b.fresh('block');
  const end = named(
    b.fresh('end'),
    min(add(variable(block), int(machine.staged)), rowCount(region.axis)),
  );
  const staging: Stmt[] = [];
  const stages = new Map<ValueId, Staged>();
  const anchors = region.groups.flatMap((g) => g.anchors);
  for (const x of new Set(anchors.map(operandOf))) {
    const readers = anchors.filter((a) => operandOf(a) === x);
    stages.set(x, stageOf(ctx, requestOf(ctx, x, readers), variable(block), end.ref, staging));
  }
  const groups = region.groups.flatMap((g) => lowerGroup(ctx, g, stages, variable(block), end.ref));
  return [
    loop(
      block,
      0,
      rowCount(region.axis),
      [end.stmt, ...staging, ...groups],
      'serial',
      machine.staged,
    ),
  ];
}

const operandOf = (a: NodeFacts): ValueId =>
  present(a.node.inputs[present(a.contraction).x], 'operand of a product');

/** What the products that read x want of it. */
function requestOf(
  { plan, machine }: LowerContext,
  x: ValueId,
  readers: readonly NodeFacts[],
): StageRequest {
  const contraction = present(present(readers[0]).contraction);
  const group = quantisedFrom(plan, x)?.activation.group;
  const weights = readers.map((a) => weightOf(plan, a));
  const multiples = weights.map((w): number => {
    if (w.layout.kind !== 'blocks') return perStep(w.dtype);
    return geometryOf(w).block;
  });
  const sums = weights.flatMap((w) =>
    w.layout.kind === 'blocks' && group !== undefined
      ? sumsFor(w.layout.scheme, geometryOf(w), group, machine)
      : [],
  );
  const different = new Map(sums.map((s) => [`${s.part} ${s.factor}`, s]));
  const multiple = [...multiples, group || 1].reduce(commonMultiple);
  const pairs = weights.some(
    (w) => w.layout.kind === 'blocks' && readsPairs(w.layout.scheme, machine),
  );
  return { x, contraction, multiple, sums: [...different.values()], pairs };
}

const commonMultiple = (a: number, b: number): number => (a / gcd(a, b)) * b;

function stageOf(
  ctx: LowerContext,
  request: StageRequest,
  block: Expr,
  end: Expr,
  out: Stmt[],
): Staged {
  const { x, contraction: c, multiple } = request;
  if (quantisedFrom(ctx.plan, x)) return codeStage(ctx, request, block, end, out);
  const direct = c.k % multiple === 0 ? directStage(ctx, x, c.k) : undefined;
  return direct ?? floatStage(ctx, request, block, end, out);
}

function geometryOf(w: PlannedWeight) {
  const [n, k] = w.shape.slice(-2);
  invariant(w.layout.kind === 'blocks', () => `${w.name} is in no blocks`);
  return blockGeometry(present(n), present(k), w.layout.scheme, w.layout.unit);
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
  const { builder: b, machine } = ctx;
  const { together } = machine;
  const u = b.fresh('unit');
  const units = Math.ceil(group.columns / group.unit);
  const single = group.anchors.some((a) => present(a.contraction).ids !== undefined);
  const m = b.fresh('token');
  const count = named(b.fresh('count'), sub(end, block));
  const body: Stmt[] = [];
  if (single) {
    body.push(loop(m, block, end, tokenTile(ctx, group, stages, [u], variable(m), block, 1)));
  } else {
    const full = named(b.fresh('full'), add(block, arithmetic('and', count.ref, int(-together))));
    const four = tokenTile(ctx, group, stages, [u], variable(m), block, together);
    const rest = b.fresh('token');
    const one = tokenTile(ctx, group, stages, [u], variable(rest), block, 1);
    body.push(
      full.stmt,
      loop(m, block, full.ref, four, 'serial', together),
      loop(rest, full.ref, end, one),
    );
  }
  const walk = loop(u, 0, units, body, 'thread');
  const streams = single ? 1 : streamsOf(ctx, group, stages, units);
  if (streams === 1) return single ? [walk] : [count.stmt, walk];
  const v = b.fresh('unit');
  const far = Array.from({ length: streams }, (_, i) => {
    const name = b.fresh('unit');
    return { name, stmt: letStmt(name, add(variable(v), int((i * units) / streams))) };
  });
  const names = far.map((f) => f.name);
  const one = tokenTile(ctx, group, stages, names, block, block, 1);
  const side = loop(v, 0, units / streams, [...far.map((f) => f.stmt), ...one], 'thread');
  return [count.stmt, when(compare('eq', count.ref, int(1)), [side], [walk])];
}

/** Units that threads have to share at least for streams to be made of them. */
const leastShares = 32;

/** Units that are computed side by side for a single token. */
function streamsOf(
  { plan, machine }: LowerContext,
  group: Group,
  stages: ReadonlyMap<ValueId, Staged>,
  units: number,
): number {
  const codes = group.anchors.every(
    (a) => weightOf(plan, a).layout.kind === 'blocks' && stages.get(operandOf(a))?.kind === 'codes',
  );
  const fits = (n: number): boolean =>
    n <= machine.streams && units % n === 0 && units / n >= leastShares;
  return codes ? ([4, 2].find(fits) ?? 1) : 1;
}

/** Units of columns, `units` their numbers, for `tokens` tokens from `first` on. */
function tokenTile(
  ctx: LowerContext,
  group: Group,
  stages: ReadonlyMap<ValueId, Staged>,
  units: readonly string[],
  first: Expr,
  block: Expr,
  tokens: number,
): Stmt[] {
  const { builder: b } = ctx;
  const paddedUnit = Math.ceil(group.unit / bandRows) * bandRows;
  const products: Stmt[] = [];
  const places = units.map(() => new Map<ValueId, { tile: string; width: number }>());
  for (const a of group.anchors) {
    const c = present(a.contraction);
    const slots = c.slots ?? 1;
    const ys = units.map(() => b.scratch('y', tokens * slots * paddedUnit));
    ys.forEach((tile, i) =>
      places[i]?.set(present(a.node.results[0]), { tile, width: slots * paddedUnit }),
    );
    products.push(
      ...anchorProduct(ctx, a, {
        units,
        first,
        block,
        tokens,
        paddedUnit,
        ys,
        stages,
        unit: group.unit,
      }),
    );
  }
  const after = units.flatMap((u, i) =>
    afterProducts(ctx, group, u, present(places[i]), first, tokens),
  );
  return [...products, ...after];
}

/** What follows the products of a unit, which lie in `places`. */
function afterProducts(
  ctx: LowerContext,
  group: Group,
  u: string,
  places: ReadonlyMap<ValueId, { readonly tile: string; readonly width: number }>,
  first: Expr,
  tokens: number,
): Stmt[] {
  const { builder: b, plan } = ctx;
  const paddedUnit = Math.ceil(group.unit / bandRows) * bandRows;
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
  return tokens === 1 ? after : [loop(m, 0, tokens, after)];
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
  /** Numbers of the units that are computed side by side. */
  readonly units: readonly string[];
  readonly first: Expr;
  readonly block: Expr;
  readonly tokens: number;
  readonly paddedUnit: number;
  readonly unit: number;
  /** For each unit where its columns go. */
  readonly ys: readonly string[];
  readonly stages: ReadonlyMap<ValueId, Staged>;
}

function anchorProduct(ctx: LowerContext, a: NodeFacts, t: TileAt): Stmt[] {
  const { builder: b, plan, machine } = ctx;
  const c = present(a.contraction);
  const w = weightOf(plan, a);
  invariant(
    (w.layout.kind === 'tiles' || w.layout.kind === 'blocks') && w.layout.unit === t.unit,
    () => `${w.name} has two layouts`,
  );
  const { layout } = w;
  const g = layout.kind === 'blocks' ? geometryOf(w) : tileGeometry(c.n, c.k, w.dtype, t.unit);
  const weight = (dtype: DType): string =>
    b.param({ kind: 'weight', weight: w.id }, dtype, w.name.split('.').at(-1) ?? 'w');
  const stage = present(t.stages.get(present(a.node.inputs[c.x])));
  const slots = c.slots ?? 1;
  const slotName = b.fresh('slot');
  const slot = loopIndex(slotName, slots);
  const stmts: Stmt[] = [];
  let matrix: Expr = int(0);
  if (c.ids !== undefined) {
    const v = present(a.node.inputs[c.ids]);
    const buffer = present(plan.buffers.get(v), 'expert numbers in memory');
    const ids = b.param({ kind: 'buffer', buffer: buffer.id }, buffer.dtype, 'ids');
    const id = named(
      b.fresh('expert'),
      load(ids, add(mul(t.first, int(buffer.width)), indexExpr(slot)), 'i32'),
    );
    stmts.push(id.stmt);
    matrix = mul(id.ref, int(g.matrixBytes / 4));
  }
  const starts = t.units.map((u) => {
    const unitWords = mul(variable(u), int(g.unitBytes / 4));
    const from = named(b.fresh('words'), add(matrix, unitWords));
    stmts.push(from.stmt);
    return from.ref;
  });
  const rows = Array.from({ length: t.tokens }, (_, i) => {
    const token = add(t.first, int(i));
    const local = sub(token, t.block);
    const xSlot = c.xSlots ? slot : constantIndex(0);
    const at = stage.kind === 'codes' ? stage.row(local, xSlot) : stage.row(token, local, xSlot);
    const row = named(b.fresh('row'), at);
    stmts.push(row.stmt);
    return row.ref;
  });
  const band = b.fresh('band');
  const bands = t.paddedUnit / bandRows;
  const bandBytes = 'bandBytes' in g ? g.bandBytes : g.steps * bandRows * stepBytes;
  // Halves of a single unit are streams too.
  const halves =
    machine.streams > 1 &&
    t.units.length * t.tokens === 1 &&
    bands % 2 === 0 &&
    stage.kind === 'codes'
      ? 2
      : 1;
  const rounds = bands / halves;
  const parts = starts.flatMap((start, i) =>
    Array.from({ length: halves }, (_, half) => {
      const index = add(rounds === 1 ? int(0) : variable(band), int(half * rounds));
      return {
        band: add(start, mul(index, int(bandBytes / 4))),
        rows,
        y: present(t.ys[i]),
        out: (m: number): Expr =>
          add(
            add(mul(index, int(bandRows)), indexExpr(scaleIndex(slot, t.paddedUnit))),
            int(m * slots * t.paddedUnit),
          ),
      };
    }),
  );
  const product =
    'bandBytes' in g && layout.kind === 'blocks'
      ? blockProduct(
          b,
          machine,
          parts.map((p) => ({ ...p, scheme: layout.scheme, geometry: g, weight })),
          stage,
        )
      : parts.flatMap((p) =>
          bandProduct(b, machine, {
            ...p,
            weight: weight(tileWord(w.dtype)),
            dtype: w.dtype,
            steps: 'steps' in g ? g.steps : 0,
            x: floatsOf(stage).tile,
          }),
        );
  stmts.push(...(rounds === 1 ? product : [loop(band, 0, rounds, product)]));
  return slots === 1 ? stmts : [loop(slotName, 0, slots, stmts)];
}

function floatsOf(stage: Staged): Extract<Staged, { kind: 'floats' }> {
  invariant(stage.kind === 'floats', 'matrices of floats take floats');
  return stage;
}
