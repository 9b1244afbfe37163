/** Combines the parts that workgroups have left of each token and head, in the order of the keys. */
import { invariant, present } from '../../base/invariant.ts';
import type { Region } from '../../4-partition/plan.ts';
import {
  type Expr, add, compare, div, int, load, mul, num, rem, select, sub, unary, variable,
} from '../../scalar/expr.ts'; // prettier-ignore
import { endPart, firstPart, keySpan, partAt, sinkOf } from '../attend-merge.ts';
import { columnsOf } from '../frame.ts';
import type { Stmt } from '../kernel.ts';
import { seesItself } from '../mask.ts';
import { loop, named, readRegister, registers, store, when } from '../statements.ts';
import { tokensSplit } from './attend.ts';
import { thread } from './attend-state.ts';
import type { SimtContext } from './context.ts';

export const mergeThreads = 128;

/** Threads have elements of a token's heads, each with the maxima and sums of its head beside it. */
export function lowerMerge(ctx: SimtContext, region: Extract<Region, { kind: 'merge' }>): Stmt[] {
  const threads = mergeThreads;
  const { plan, builder: b } = ctx;
  const { node, lowered } = region.facts;
  invariant(lowered.kind === 'attend', 'parts of an attention');
  const [heads = 1, width = 1] = columnsOf(plan, present(node.results[0]));
  const buffer = (v: number, hint: string): string => {
    const { id } = present(plan.buffers.get(v), hint);
    return b.param({ kind: 'buffer', buffer: id }, 'f32', hint);
  };
  const parts = buffer(region.parts, 'parts');
  const out = buffer(present(node.results[0]), 'out');
  const step = (field: 'position' | 'length'): string =>
    b.param({ kind: 'step', field }, 'i32', field);
  const [token, some] = [b.fresh('token'), b.fresh('some')];
  const place = named(b.fresh('place'), add(mul(variable(some), int(threads)), thread));
  const head = named(b.fresh('head'), div(place.ref, int(width)));
  const element = named(b.fresh('element'), rem(place.ref, int(width)));
  const item = named(b.fresh('item'), add(mul(variable(token), int(heads)), head.ref));
  const position = named(b.fresh('i'), load(step('position'), variable(token), 'i32'));
  const length = named(b.fresh('length'), load(step('length'), variable(token), 'i32'));
  const span = keySpan(b, lowered.mask, length.ref);
  const sink = sinkOf(ctx, region.facts, lowered, {
    token,
    position: position.ref,
    head: head.ref,
    heads,
    inLanes: false,
  });
  const state = b.fresh('state');
  const [m, l, o] = [0, 1, 2].map((n) => readRegister(state, n, 1));
  invariant(m && l && o, 'three registers');
  const part = b.fresh('part');
  const at = named(b.fresh('at'), partAt(item.ref, variable(part), width));
  const own = (n: Expr | number): Expr => load(parts, add(at.ref, typeof n === 'number' ? int(n) : n)); // prettier-ignore
  const pm = named(b.fresh('part_m'), own(width));
  const pl = named(b.fresh('part_l'), own(width + 1));
  const po = named(b.fresh('part_o'), own(element.ref));
  const merged = lowered.monoid.combine([m, l, o], [pm.ref, pl.ref, po.ref]);
  const next = merged.map((value, n) => named(b.fresh(n === 0 ? 'm' : n === 1 ? 'l' : 'o'), value));
  const over = lowered.normalise ? div(num(1), l) : unary('exp', m);
  // A token that sees nothing attends to nothing.
  const inverse = seesItself(lowered.mask) ? over : select(compare('gt', l, num(0)), over, num(0));
  const body: Stmt[] = [
    ...[head, element, item, position, length].map((x) => x.stmt),
    ...span.stmts,
    ...sink.stmts,
    registers(state, 3, 1),
    store(state, 0, sink.value ?? num(-Infinity)),
    store(state, 1, num(sink.value ? 1 : 0)),
    loop(part, 0, sub(endPart(span), firstPart(span)), [
      at.stmt,
      pm.stmt,
      // A part that has seen nothing leaves the state alone.
      when(compare('gt', pm.ref, num(-Infinity)), [
        pl.stmt,
        po.stmt,
        ...next.map((x) => x.stmt),
        ...next.map((x, n) => store(state, n, x.ref)),
      ]),
    ]),
    store(out, add(mul(item.ref, int(width)), element.ref), mul(o, inverse)),
  ];
  const elements = heads * width;
  const whole = elements % threads === 0;
  const inside = compare('lt', place.ref, int(elements));
  return [
    loop(
      token,
      0,
      tokensSplit,
      [
        loop(
          some,
          0,
          Math.ceil(elements / threads),
          [place.stmt, ...(whole ? body : [when(inside, body)])],
          'block',
        ),
      ],
      'block',
    ),
  ];
}
