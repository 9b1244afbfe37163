/** Scores to weights and their sums, and the weighted sum of the values. */
import { present } from '../base/invariant.ts';
import {
  type Expr, add, fma, int, lane, load, min, mul, sub, unary, variable, shuffle,
} from '../scalar/expr.ts'; // prettier-ignore
import {
  type Attention, type KeyBlock, type Panels, keysAtOnce, lanesFor, pageOf, range, spread,
} from './attend-state.ts'; // prettier-ignore
import type { Stmt } from './kernel.ts';
import { lanesOf } from './lanes.ts';
import { blockEntries, blockStart, entries, scalesAt } from './state-rows.ts';
import { loop, named, readRegister, registers, store } from './statements.ts';

/**
 * e^(score - by) in place of the scores, and l = l * carry + their sums. The sums of four keys and all
 * rows make one vector, or several: weights are added to them four keys at a time, in order.
 */
export function sumOfWeights(
  a: Attention,
  p: Panels,
  panel: Expr,
  k: KeyBlock,
  by: Expr,
  carry: Expr,
): Stmt[] {
  const { builder: b, lanes, scores } = a;
  const four = 4 * p.rows;
  const own = Math.min(lanes, four);
  const sums = range(four / own);
  const acc = b.fresh('l');
  const at = (n: number): Expr => add(mul(panel, int(four)), int(n * own));
  const together = keysAtOnce(a, p);
  const page = b.fresh('page');
  const key = b.fresh('key');
  const entry = add(mul(variable(page), int(blockEntries)), variable(key));
  const first = named(b.fresh('x'), mul(entry, int(p.rows)));
  // Codes of values are summed as they are: what weighs them is the weight times their scale.
  const block = named(b.fresh('block'), pageOf(a, k, page));
  const scaled = scalesAt(a.values, block.ref, k.group, variable(key), together);
  const scales = scaled && named(b.fresh('scales'), scaled);
  const vectors = range((together * p.rows) / lanes).map((v) => {
    const place = add(first.ref, int(v * lanes));
    const e = named(b.fresh('e'), unary('exp', sub(load(scores, place, 'f32', lanes), by)));
    const keyOf = range(lanes).map((x) => Math.floor((v * lanes + x) / p.rows));
    const weight = scales ? mul(e.ref, shuffle(scales.ref, scales.ref, keyOf)) : e.ref;
    return { ...e, stored: store(scores, place, weight) };
  });
  const added = vectors.flatMap(({ ref }, v): Stmt[] =>
    range(lanes / own).map((part) => {
      const n = (v + part) % sums.length;
      return store(acc, n, add(readRegister(acc, n, own), lanesOf(ref, own, part * own)));
    }),
  );
  const body = [
    first.stmt,
    ...(scales ? [scales.stmt] : []),
    ...vectors.flatMap((v) => [v.stmt, v.stored]),
    ...added,
  ];
  return [
    registers(acc, sums.length, own),
    ...sums.map((n) => store(acc, n, mul(load(p.l, at(n), 'f32', own), lanesOf(carry, own)))),
    loop(page, 0, k.pages, [
      ...(scales ? [block.stmt] : []),
      loop(key, 0, blockEntries, body, 'serial', together),
    ]),
    ...sums.map((n) => store(p.l, at(n), readRegister(acc, n, own))),
  ];
}

/** o = o * carry + the sum of weights times values, key by key. */
export function sumOfValues(
  a: Attention,
  p: Panels,
  panel: Expr,
  k: KeyBlock,
  carry: Expr,
): Stmt[] {
  const { builder: b, values, scores } = a;
  const { rows } = p;
  const carries = range(rows).map((r) => named(b.fresh('carry'), lane(carry, r)));
  const row = named(b.fresh('o_row'), mul(panel, int(rows * values.width)));
  const chunks = columns(values.width, a.lanes, Math.max(1, a.accumulators / rows));
  return [
    ...carries.map((c) => c.stmt),
    row.stmt,
    ...chunks.map(({ from, to, lanes, groups }) => {
      const i = b.fresh('i');
      const acc = b.fresh('acc');
      const page = b.fresh('page');
      const key = b.fresh('key');
      const all = range(rows).flatMap((r) =>
        range(groups).map((g) => ({ r, g, n: r * groups + g })),
      );
      const place = (r: number, g: number): Expr =>
        add(add(row.ref, variable(i)), int(r * values.width + g * lanes));
      const start = add(blockStart(values, pageOf(a, k, page), k.group), variable(i));
      const base = named(b.fresh('v_page'), start);
      const left = sub(k.count, mul(variable(page), int(blockEntries)));
      const count = named(b.fresh('count'), min(int(blockEntries), left));
      const at = named(b.fresh('v_at'), add(base.ref, mul(variable(key), int(values.width))));
      const entry = add(mul(variable(page), int(blockEntries)), variable(key));
      const weight = named(b.fresh('weight'), mul(entry, int(rows)));
      const vs = range(groups).map((g) =>
        named(b.fresh('v'), entries(values, add(at.ref, int(g * lanes)), lanes)),
      );
      const ps = range(rows).map((r) =>
        named(b.fresh('p'), spread(load(scores, add(weight.ref, int(r))), lanes)),
      );
      const body = [
        registers(acc, rows * groups, lanes),
        ...all.map(({ r, g, n }) =>
          store(
            acc,
            n,
            mul(load(p.o, place(r, g), 'f32', lanes), spread(present(carries[r]).ref, lanes)),
          ),
        ),
        loop(page, 0, k.pages, [
          base.stmt,
          count.stmt,
          loop(key, 0, count.ref, [
            at.stmt,
            weight.stmt,
            ...vs.map((v) => v.stmt),
            ...range(rows).flatMap((r): Stmt[] => [
              present(ps[r]).stmt,
              ...range(groups).map((g) =>
                store(
                  acc,
                  r * groups + g,
                  fma(
                    present(ps[r]).ref,
                    present(vs[g]).ref,
                    readRegister(acc, r * groups + g, lanes),
                  ),
                ),
              ),
            ]),
          ]),
        ]),
        ...all.map(({ r, g, n }) => store(p.o, place(r, g), readRegister(acc, n, lanes))),
      ];
      return loop(i, from, to, body, 'serial', groups * lanes);
    }),
  ];
}

/** Vectors of a row's elements: `most` at a time, then one by one, then single elements. */
function columns(
  width: number,
  lanes: number,
  most: number,
): readonly { from: number; to: number; lanes: number; groups: number }[] {
  const own = lanesFor(width, lanes);
  const vectors = Math.floor(width / own);
  const groups = Math.max(1, Math.min(most, vectors));
  const full = Math.floor(vectors / groups) * groups * own;
  return [
    { from: 0, to: full, lanes: own, groups },
    { from: full, to: vectors * own, lanes: own, groups: 1 },
    { from: vectors * own, to: width, lanes: 1, groups: 1 },
  ].filter((c) => c.from < c.to);
}
