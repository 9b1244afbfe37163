/**
 * Products with weights: lay out the operand rows, then unit by unit the product, then what follows.
 * Threads share the units; each lays out the operand for itself, which for norms costs less than a
 * barrier does.
 */
import { present } from '../base/invariant.ts';
import type { ValueId } from '../3-graph/graph.ts';
import type { Group, NodeFacts, Plan } from '../4-partition/plan.ts';
import {
  type Expr, add, arithmetic, compare, int, min, mul, sub, variable,
} from '../scalar/expr.ts'; // prettier-ignore
import { quantisedFrom } from './activation.ts';
import { gcd, readsPairs, sumsFor } from './block-codes.ts';
import { type Choices, listChoices, sharedProducts, sortedRows } from './choices.ts';
import { type LowerContext } from './context.ts';
import { rowCount } from './frame.ts';
import type { Stmt } from './kernel.ts';
import { perStep } from './layout.ts';
import type { ContractRegion, Schedule } from './schedule.ts';
import {
  type StageRequest, type Staged, type StagedBlock, bytesOfRow, codeStage, directStage, floatStage,
} from './staging.ts'; // prettier-ignore
import { letStmt, loop, named, when } from './statements.ts';
import { type ProductPlace, afterProducts } from './unit-after.ts';
import {
  expertsOf, geometryOf, operandOf, paddedUnitOf, tokenProducts, weightOf,
} from './unit-products.ts'; // prettier-ignore

export function lowerContract(ctx: LowerContext, region: ContractRegion): Stmt[] {
  const { builder: b } = ctx;
  const tokens = stagedTokens(ctx, region);
  const first = b.fresh('block');
  const block = variable(first);
  const end = named(b.fresh('end'), min(add(block, int(tokens)), rowCount(region.axis)));
  const staging: Stmt[] = [];
  const stages = new Map(
    requestsOf(ctx, region).map((r) => [
      r.x,
      stageOf(ctx, { ...r, tokens }, block, end.ref, staging),
    ]),
  );
  const at: StagedBlock = { tokens, stages, block, end: end.ref };
  const groups = region.groups.flatMap((g) => lowerGroup(ctx, g, at));
  const body = [end.stmt, ...staging, ...groups];
  return [loop(first, 0, rowCount(region.axis), body, 'serial', tokens)];
}

const hasChoices = (a: NodeFacts): boolean => present(a.contraction).ids !== undefined;

/**
 * The more tokens are staged at a time, the less often a matrix is read from memory: as many as the
 * schedule says, and where they choose experts so many that on average an expert has rows for some passes,
 * if there is room for what is staged and for all of a unit's products with chosen experts.
 */
export function stagedTokens(ctx: LowerContext, region: ContractRegion): number {
  const { machine } = ctx;
  const choosing = region.groups.filter((g) => g.anchors.some(hasChoices));
  const anchors = choosing.flatMap((g) => g.anchors.filter(hasChoices));
  const some = 4 * machine.together;
  const wanted = Math.max(machine.staged, ...anchors.map((a) => tokensFor(ctx, a, some)));
  const products = choosing.flatMap((g) => g.anchors.map((a) => 4 * widthOf(g, a)));
  const rows = requestsOf(ctx, region).map((r) => (r.contraction.slots ?? 1) * bytesOfRow(r));
  const bytes = [...products, ...rows].reduce((x, y) => x + y);
  const most = Math.max(Math.min(some, wanted), Math.min(wanted, machine.stagedBytes / bytes));
  return 2 ** Math.floor(Math.log2(most));
}

/** Tokens from which on an expert has this many of them on average. */
const tokensFor = ({ plan }: LowerContext, a: NodeFacts, each: number): number =>
  Math.ceil((each * expertsOf(plan, a)) / (present(a.contraction).slots ?? 1));

function requestsOf(
  ctx: LowerContext,
  { groups }: ContractRegion,
): readonly Omit<StageRequest, 'tokens'>[] {
  const anchors = groups.flatMap((g) => g.anchors);
  const readersOf = (x: ValueId): NodeFacts[] => anchors.filter((a) => operandOf(a) === x);
  return [...new Set(anchors.map(operandOf))].map((x) => requestOf(ctx, x, readersOf(x)));
}

/** What the products that read x want of it. */
function requestOf(
  { plan, machine }: LowerContext,
  x: ValueId,
  readers: readonly NodeFacts[],
): Omit<StageRequest, 'tokens'> {
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
  const codes = group !== undefined;
  return { x, contraction, multiple, codes, sums: [...different.values()], pairs };
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

function lowerGroup(ctx: LowerContext, group: Group, at: StagedBlock): Stmt[] {
  const { builder: b } = ctx;
  const units = Math.ceil(group.columns / group.unit);
  const choosing = group.anchors.filter(hasChoices);
  const count = named(b.fresh('count'), sub(at.end, at.block));
  if (choosing.length > 0) {
    const u = b.fresh('unit');
    const m = b.fresh('token');
    const tile = tokenTile(ctx, group, at, [u], variable(m), 1);
    const single = [loop(u, 0, units, [loop(m, at.block, at.end, tile)], 'thread')];
    // Below two, sorting costs more than sharing saves.
    const least = Math.max(...choosing.map((a) => tokensFor(ctx, a, 2)));
    if (least > at.tokens) return single;
    const shared = sharedWalk(ctx, group, at, count.ref, units);
    return [count.stmt, when(compare('lt', count.ref, int(least)), single, shared)];
  }
  const u = b.fresh('unit');
  const walk = loop(u, 0, units, tokenTiles(ctx, group, at, count.ref, u), 'thread');
  const streams = streamsOf(ctx.plan, ctx.machine, group);
  if (streams === 1) return [count.stmt, walk];
  const v = b.fresh('unit');
  const far = Array.from({ length: streams }, (_, i) => {
    const name = b.fresh('unit');
    return { name, stmt: letStmt(name, add(variable(v), int((i * units) / streams))) };
  });
  const names = far.map((f) => f.name);
  const one = tokenTile(ctx, group, at, names, at.block, 1);
  const side = loop(v, 0, units / streams, [...far.map((f) => f.stmt), ...one], 'thread');
  return [count.stmt, when(compare('eq', count.ref, int(1)), [side], [walk])];
}

/** All tokens of the block, as many as share a pass at a time, then the others. */
function eachTile(
  { builder: b, machine }: LowerContext,
  { block, end }: StagedBlock,
  count: Expr,
  tile: (first: Expr, tokens: number) => readonly Stmt[],
): Stmt[] {
  const { together } = machine;
  const [m, rest] = [b.fresh('token'), b.fresh('token')];
  const full = named(b.fresh('full'), add(block, arithmetic('and', count, int(-together))));
  return [
    full.stmt,
    loop(m, block, full.ref, tile(variable(m), together), 'serial', together),
    loop(rest, full.ref, end, tile(variable(rest), 1)),
  ];
}

const tokenTiles = (
  ctx: LowerContext,
  group: Group,
  at: StagedBlock,
  count: Expr,
  unit: string,
): Stmt[] =>
  eachTile(ctx, at, count, (first, tokens) => tokenTile(ctx, group, at, [unit], first, tokens));

/** Units that threads have to share at least for streams to be made of them. */
const leastShares = 32;

/** Units that are computed side by side for a single token. */
export function streamsOf(plan: Plan, schedule: Schedule, group: Group): number {
  const units = Math.ceil(group.columns / group.unit);
  const codes = group.anchors.every(
    (a) => weightOf(plan, a).layout.kind === 'blocks' && quantisedFrom(plan, operandOf(a)),
  );
  const fits = (n: number): boolean =>
    n <= schedule.streams && units % n === 0 && units / n >= leastShares;
  return codes ? ([4, 2].find(fits) ?? 1) : 1;
}

/** Units of columns, `units` their numbers, for `tokens` tokens from `first` on. */
function tokenTile(
  ctx: LowerContext,
  group: Group,
  at: StagedBlock,
  units: readonly string[],
  first: Expr,
  tokens: number,
): Stmt[] {
  const places = units.map(() => new Map<ValueId, ProductPlace>());
  const products = group.anchors.flatMap((a) => {
    const width = widthOf(group, a);
    const ys = units.map(() => ctx.builder.scratch('y', tokens * width));
    ys.forEach((tile, i) => places[i]?.set(present(a.node.results[0]), { tile, width }));
    return tokenProducts(ctx, group, a, { ...at, units, first, tokens, ys, y: int(0) });
  });
  const range = { first, most: tokens, count: tokens };
  const after = units.flatMap((u, i) => afterProducts(ctx, group, u, present(places[i]), range));
  return [...products, ...after];
}

/** Elements of a token's columns in a unit, those of all slots. */
const widthOf = (group: Group, a: NodeFacts): number =>
  (present(a.contraction).slots ?? 1) * paddedUnitOf(group);

/** Unit by unit the products of all staged tokens, expert by expert, and then what follows. */
function sharedWalk(
  ctx: LowerContext,
  group: Group,
  at: StagedBlock,
  count: Expr,
  units: number,
): Stmt[] {
  const { builder: b } = ctx;
  const { block, tokens, stages } = at;
  const u = b.fresh('unit');
  const places = new Map<ValueId, ProductPlace>();
  const lists: Stmt[] = [];
  const choices = new Map<string, Choices>();
  const sorted = new Map<string, Staged>();
  const products = group.anchors.flatMap((a) => {
    const width = widthOf(group, a);
    const y = b.scratch('y', tokens * width);
    const v = present(a.node.results[0]);
    const { ids } = present(a.contraction);
    const stage = present(stages.get(operandOf(a)));
    if (ids === undefined) {
      places.set(v, { tile: y, width });
      return eachTile(ctx, at, count, (first, some) => {
        const from = mul(sub(first, block), int(width));
        return tokenProducts(ctx, group, a, { ...at, units: [u], first, tokens: some, ys: [y], y: from }); // prettier-ignore
      });
    }
    const key = `${present(a.node.inputs[ids])} of ${expertsOf(ctx.plan, a)}`;
    const own = choices.get(key) ?? listChoices(ctx, a, at, lists);
    choices.set(key, own);
    const rows = `${key}, ${operandOf(a)}`;
    const x = sorted.get(rows) ?? sortedRows(ctx, a, stage, own, at, lists);
    sorted.set(rows, x);
    places.set(v, { tile: y, width, order: own.places });
    return sharedProducts(ctx, group, a, own, u, block, y, x);
  });
  const range = { first: block, most: tokens, count };
  const after = afterProducts(ctx, group, u, places, range);
  return [...lists, loop(u, 0, units, [...products, ...after], 'thread')];
}
