/**
 * Products with weights, for workgroups: a workgroup takes some units of a group and a tile of tokens.
 * It lays out their operand a stretch of k at a time, passes over the units' bands with it, and then
 * computes what follows of the units' columns.
 */
import { invariant, present } from '../../base/invariant.ts';
import type { ValueId } from '../../3-graph/graph.ts';
import type { Group, Region } from '../../4-partition/plan.ts';
import { type Expr, add, compare, div, int, load, min, mul, num, sub, variable } from '../../scalar/expr.ts'; // prettier-ignore
import { makeBuilder } from '../builder.ts';
import { type Frame, columnsOf, element, rowCount } from '../frame.ts';
import type { Stmt } from '../kernel.ts';
import { bandRows } from '../layout.ts';
import {
  type Linear, addIndex, constantIndex, flatten, indexExpr, loopIndex, opaqueIndex, scaleIndex,
} from '../linear.ts'; // prettier-ignore
import { type Share, emitNodes } from '../nodes.ts';
import { unitShare } from '../share.ts';
import { letStmt, loop, named, store, when } from '../statements.ts';
import type { SimtContext } from './context.ts';
import { bandProduct } from './product.ts';
import {
  type Anchor, type Form, type Shared, placesOf, rowsPerToken, sharedOperands, singleForm, tokensTogether,
} from './product-shape.ts'; // prettier-ignore
import {
  type Stage,
  type TokensAt,
  beforeRounds,
  sourceOf,
  stageRound,
  times,
} from './product-stage.ts';
import { barrier } from './reduce.ts';

type ContractRegion = Extract<Region, { kind: 'contract' }>;

/** Bytes that reductions, norms of heads and the like have besides operands, weights and sums. */
const reserve = 2560;
/** Workgroups that a group is cut into before one gets more units, and columns that it gets at most. */
const leastWorkgroups = 64;
const mostColumns = 128;

/** A group and how it is cut. */
interface Cut {
  readonly group: Group;
  readonly shared: readonly Shared[];
  readonly units: number;
  /** Units of a workgroup; the first of the group's workgroups, and how many they are. */
  readonly span: number;
  readonly from: number;
  readonly workgroups: number;
  readonly paddedUnit: number;
  /** Sums of a token for one unit. */
  readonly width: number;
}

export function lowerContract(ctx: SimtContext, region: ContractRegion): Stmt[] {
  const { builder: b, machine } = ctx;
  const cuts = cutsOf(ctx, region);
  const words = (machine.sharedBytes - reserve) / 4;
  const perToken = Math.max(...cuts.map((c) => c.span * c.width));
  const tokens = Math.min(...cuts.map((c) => togetherOf(ctx, c, words, perToken)));
  const kept = tokens * perToken;
  const forms = (s: Shared): Form[] => [
    singleForm(s, words - kept),
    ...(tokens === 1 ? [] : [{ tokens, chunks: 1 }]),
  ];
  const places = cuts.flatMap((c) =>
    c.shared.flatMap((s) => forms(s).map((f) => placesOf(s, f).words)),
  );
  const tiles: Tiles = {
    work: b.scratch('shared', Math.max(...places), 'i32'),
    y: b.scratch('y', kept),
  };
  const [w, tile] = [b.fresh('workgroup'), b.fresh('tile')];
  const rows = rowCount(region.axis);
  const first = named(b.fresh('first'), mul(variable(tile), int(tokens)));
  const last = sub(rows, int(1));
  const count = named(b.fresh('count'), min(sub(rows, first.ref), int(tokens)));
  const at: TokensAt = { first: first.ref, last };
  const bodyOf = (c: Cut): Stmt[] => {
    const form = (n: number, of: Expr): Stmt[] => groupForm(ctx, c, tiles, n, words - kept, at, of, sub(variable(w), int(c.from))); // prettier-ignore
    if (tokens === 1) return form(1, int(1));
    return [
      count.stmt,
      when(compare('eq', count.ref, int(1)), form(1, int(1)), form(tokens, count.ref)),
    ];
  };
  const body = cuts
    .slice(0, -1)
    .reduceRight<Stmt[]>(
      (rest, c) => [when(compare('lt', variable(w), int(c.from + c.workgroups)), bodyOf(c), rest)],
      bodyOf(present(cuts.at(-1))),
    );
  const end = present(cuts.at(-1));
  const perTile = tokens === 1 ? rows : div(add(rows, int(tokens - 1)), int(tokens));
  return [
    loop(w, 0, end.from + end.workgroups, [loop(tile, 0, perTile, [first.stmt, ...body], 'block')], 'block'), // prettier-ignore
  ];
}

function cutsOf({ plan }: SimtContext, region: ContractRegion): Cut[] {
  let from = 0;
  return region.groups.map((group) => {
    const paddedUnit = Math.ceil(group.unit / bandRows) * bandRows;
    const width = group.anchors.reduce(
      (n, a) => n + (present(a.contraction).slots ?? 1) * paddedUnit,
      0,
    );
    const units = Math.ceil(group.columns / group.unit);
    const fair = Math.floor(units / leastWorkgroups);
    const span = Math.max(1, Math.min(fair, Math.floor(mostColumns / width)));
    const workgroups = Math.ceil(units / span);
    const cut = { group, shared: sharedOperands(plan, group), units, span, from, workgroups, paddedUnit, width }; // prettier-ignore
    from += workgroups;
    return cut;
  });
}

/** Tokens that a group's products share a pass for. */
function togetherOf(ctx: SimtContext, c: Cut, words: number, perToken: number): number {
  const at: TokensAt = { first: int(0), last: int(0) };
  const builder = makeBuilder({ loops: ctx.builder.loops, sharedBytes: ctx.machine.sharedBytes });
  builder.scratch('shared', words);
  const several = c.shared.every((s) => sourceOf({ ...ctx, builder }, s, 1, at).several);
  return several ? tokensTogether(c.shared, words, perToken) : 1;
}

interface Tiles {
  readonly work: string;
  readonly y: string;
}

/** A workgroup's part of a group for `tokens` tokens, of which `count` are there. */
function groupForm(
  ctx: SimtContext,
  c: Cut,
  tiles: Tiles,
  tokens: number,
  words: number,
  at: TokensAt,
  count: Expr,
  number: Expr,
): Stmt[] {
  const { builder: b } = ctx;
  const { group, span, units } = c;
  const i = b.fresh('i');
  const zero = loop(i, 0, span * tokens * c.width, [store(tiles.y, variable(i), num(0))], 'thread');
  const first = named(b.fresh('unit'), mul(number, int(span)));
  const here = units % span === 0 ? times(span, at) : min(int(span), sub(int(units), first.ref));
  const places = new Map<ValueId, number>();
  let next = 0;
  const products = c.shared.flatMap((s, pass) => {
    const form = tokens === 1 ? singleForm(s, words) : { tokens, chunks: 1 };
    const source = sourceOf(ctx, s, tokens, at);
    const stage: Stage = {
      shared: s,
      places: placesOf(s, form),
      tile: tiles.work,
      source,
      tokens: at,
    };
    const { stmts, most } = beforeRounds(ctx, stage);
    const rounds = Math.ceil(s.chunks / form.chunks);
    const r = b.fresh('round');
    const round = rounds === 1 ? int(0) : variable(r);
    const body = [
      ...stageRound(ctx, stage, round, most),
      ...s.anchors.flatMap((anchor) => {
        const sums = next;
        places.set(present(anchor.facts.node.results[0]), sums);
        next += span * tokens * (anchor.contraction.slots ?? 1) * c.paddedUnit;
        return anchorProduct(ctx, c, stage, { anchor, sums, y: tiles.y, first: first.ref, here, round }); // prettier-ignore
      }),
    ];
    // Another operand is laid out where sums of the last one may still be added up.
    const done = pass === 0 ? [] : [barrier];
    return [...done, ...stmts, ...(rounds === 1 ? body : [loop(r, 0, times(rounds, at), body)])];
  });
  const after = afterProducts(ctx, c, tiles.y, places, tokens, at, count, first.ref, here);
  invariant(group.anchors.length === places.size, 'every anchor has a place');
  return [first.stmt, zero, ...products, barrier, ...after];
}

interface AnchorAt {
  readonly anchor: Anchor;
  /** First of its sums in `y`. */
  readonly sums: number;
  readonly y: string;
  /** The workgroup's first unit, and how many it has. */
  readonly first: Expr;
  readonly here: Expr;
  readonly round: Expr;
}

/** Place of a sum: units of the workgroup, tokens, slots, columns. */
function sumPlace(
  c: Cut,
  tokens: number,
  slots: number,
  [u, m, slot, column]: readonly [Linear, Linear, Linear, Linear],
): Linear {
  return flatten([u, m, slot, column], [c.span, tokens, slots, c.paddedUnit]);
}

function anchorProduct(ctx: SimtContext, c: Cut, g: Stage, a: AnchorAt): Stmt[] {
  const { builder: b, plan } = ctx;
  const { anchor, here } = a;
  const { contraction, stream, facts } = anchor;
  const { tokens } = g.places.form;
  const slots = contraction.slots ?? 1;
  const [s, u, band] = [b.fresh('slot'), b.fresh('unit'), b.fresh('band')];
  const slot = loopIndex(s, slots);
  const [unit, inUnit] = [loopIndex(u, c.span), loopIndex(band, c.paddedUnit / bandRows)];
  const before: Stmt[] = [];
  let matrix: Expr = int(0);
  if (contraction.ids !== undefined) {
    invariant(tokens === 1, 'experts are chosen for each token');
    const v = present(facts.node.inputs[contraction.ids]);
    const buffer = present(plan.buffers.get(v), 'expert numbers in memory');
    const ids = b.param({ kind: 'buffer', buffer: buffer.id }, buffer.dtype, 'ids');
    const at = add(mul(g.tokens.first, int(buffer.width)), indexExpr(slot));
    const id = named(b.fresh('expert'), load(ids, at, 'i32'));
    before.push(id.stmt);
    matrix = mul(id.ref, int(stream.matrixWords));
  }
  const per = rowsPerToken(contraction);
  const rows = Array.from({ length: tokens }, (_, m) =>
    add(int(m * per), per === 1 ? int(0) : indexExpr(slot)),
  );
  const from = add(
    add(matrix, mul(add(a.first, indexExpr(unit)), int(stream.unitWords))),
    indexExpr(scaleIndex(inUnit, stream.bandWords)),
  );
  const product = bandProduct(ctx, {
    shared: g.shared,
    places: g.places,
    tile: g.tile,
    anchor,
    from,
    round: a.round,
    tokens: g.tokens,
    rows,
    y: a.y,
    out: (m) => {
      const token = m.op === 'const' ? constantIndex(m.value) : opaqueIndex(JSON.stringify(m), m);
      const place = sumPlace(c, tokens, slots, [unit, token, slot, scaleIndex(inUnit, bandRows)]);
      return indexExpr(addIndex(place, constantIndex(a.sums)));
    },
  });
  const over = (name: string, count: number, to: Expr, body: Stmt[]): Stmt[] =>
    count === 1 ? body : [loop(name, 0, to, body)];
  const bands = c.paddedUnit / bandRows;
  const inUnits = over(u, c.span, here, over(band, bands, times(bands, g.tokens), product));
  return over(s, slots, times(slots, g.tokens), [...before, ...inUnits]);
}

/** What follows the products, whose sums are in `y`: for each unit and token. */
function afterProducts(
  ctx: SimtContext,
  c: Cut,
  y: string,
  places: ReadonlyMap<ValueId, number>,
  tokens: number,
  at: TokensAt,
  count: Expr,
  first: Expr,
  here: Expr,
): Stmt[] {
  const { builder: b, plan } = ctx;
  const { group, units, span } = c;
  const [u, m, number] = [b.fresh('u'), b.fresh('m'), b.fresh('unit')];
  const inSpan = loopIndex(u, span);
  const token = loopIndex(m, tokens);
  const row = addIndex(opaqueIndex(JSON.stringify(at.first), at.first), token);
  const frame: Frame = { plan, builder: b, row, locals: new Map() };
  const unit = loopIndex(number, units);
  for (const [v, sums] of places) {
    const slots = group.slots.has(v);
    const extent = group.anchors.find((a) => a.node.results[0] === v)?.contraction?.slots ?? 1;
    frame.locals.set(v, {
      kind: 'tile',
      tile: y,
      dtype: 'f32',
      place: (index) => {
        const columns = index.slice(1);
        const slot = slots ? present(columns[0]) : constantIndex(0);
        const sizes = columnsOf(plan, v).slice(slots ? 1 : 0);
        const inUnit = addIndex(
          flatten(slots ? columns.slice(1) : columns, sizes),
          scaleIndex(unit, -group.unit),
        );
        const place = sumPlace(c, tokens, extent, [inSpan, token, slot, inUnit]);
        return addIndex(place, constantIndex(sums));
      },
    });
  }
  const share = (v: ValueId): Share => unitShare(plan, group, unit, v);
  const stores = new Set(group.stores);
  const own = group.anchors.flatMap((a) => a.node.results.filter((v) => stores.has(v)));
  const kept = own.flatMap((v) => keepAnchor(ctx, frame, share(v), v));
  const body = [...kept, ...emitNodes({ frame, share, stores, nodes: group.epilogue })];
  const inLoop = tokens > 1 || span > 1 ? [...body, barrier] : body;
  const each = tokens === 1 ? inLoop : [loop(m, 0, count, inLoop)];
  const named_ = letStmt(number, add(first, indexExpr(inSpan)));
  return span === 1 ? [named_, ...each] : [loop(u, 0, here, [named_, ...each])];
}

/** Stores an anchor's own value. */
function keepAnchor(ctx: SimtContext, frame: Frame, share: Share, v: ValueId): Stmt[] {
  const { builder: b, plan } = ctx;
  const buffer = present(plan.buffers.get(v));
  const tile = b.param({ kind: 'buffer', buffer: buffer.id }, buffer.dtype, 'x');
  const sizes = columnsOf(plan, v);
  return b.loops.store(b, share.axes, (index) => {
    const columns = share.columns(index);
    return {
      tile,
      index: indexExpr(addIndex(scaleIndex(frame.row, buffer.width), flatten(columns, sizes))),
      value: element(frame, v, [frame.row, ...columns]),
    };
  });
}
