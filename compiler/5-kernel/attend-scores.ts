/** Scores of a panel's rows for a block of keys. */
import { invariant, present } from '../base/invariant.ts';
import {
  type Expr, type ScalarFn, add, arithmetic, compare, div, fma, int, load, max, min, mul, num, rem, select,
  splat, sub, variable, shuffle,
} from '../scalar/expr.ts'; // prettier-ignore
import { mapChildren } from '../scalar/walk.ts';
import {
  type Attention, type KeyBlock, type Panels, keysAtOnce, pageOf, range,
} from './attend-state.ts'; // prettier-ignore
import type { Stmt } from './kernel.ts';
import { interleaved, lanesOf } from './lanes.ts';
import { blockEntries, blockStart, entries, scalesAt } from './state-rows.ts';
import { loop, named, readRegister, registers, store } from './statements.ts';
import { mentions } from './vectorize.ts';

/**
 * q . k of all rows and of the entries of the block's pages: a key in each lane, some vectors of them at a
 * time, each summed over the head's elements in order.
 */
export function products(a: Attention, p: Panels, panel: Expr, k: KeyBlock): Stmt[] {
  const { builder: b, keys, lanes, scores } = a;
  const { rows } = p;
  invariant(keys.perSlot === 1 && blockEntries % lanes === 0, 'slots side by side');
  const together = a.accumulators / rows;
  const perPage = blockEntries / lanes;
  const first = b.fresh('vector');
  const i = b.fresh('i');
  const acc = b.fresh('dot');
  const vectors = mul(k.pages, int(perPage));
  // Past the last page it is computed once more: registers are filled anyway.
  const starts = range(together).map((n) => {
    const vector = min(add(variable(first), int(n)), sub(vectors, int(1)));
    const number = named(b.fresh('number'), vector);
    const page = load(a.table, add(k.table, div(number.ref, int(perPage))), 'i32');
    const within = mul(rem(number.ref, int(perPage)), int(lanes));
    const start = named(b.fresh('k_at'), add(blockStart(keys, page, k.group), within));
    return { stmts: [number.stmt, start.stmt], ref: start.ref };
  });
  const queries = add(mul(panel, int(keys.width)), variable(i));
  const qs = range(rows).map((r) =>
    named(b.fresh('q'), splat(load(p.q, add(mul(queries, int(rows)), int(r))), lanes)),
  );
  const element = mul(variable(i), int(keys.perElement));
  const ks = starts.map((s) => named(b.fresh('k'), entries(keys, add(s.ref, element), lanes)));
  const step: Stmt[] = [
    ...qs.map((q) => q.stmt),
    ...ks.flatMap((key, n): Stmt[] => [
      key.stmt,
      ...qs.map((q, r) => {
        const at = n * rows + r;
        return store(acc, at, fma(q.ref, key.ref, readRegister(acc, at, lanes)));
      }),
    ]),
  ];
  const dots = range(together).flatMap((n): Stmt[] => {
    const own = range(rows).map((r) => readRegister(acc, n * rows + r, lanes));
    const to = mul(add(variable(first), int(n)), int(lanes * rows));
    const { stmts, vectors: side } = interleaved(b, own);
    return [...stmts, ...side.map((v, x) => store(scores, add(to, int(x * lanes)), v))];
  });
  return [
    loop(
      first,
      0,
      vectors,
      [
        ...starts.flatMap((s) => s.stmts),
        registers(acc, a.accumulators, lanes),
        loop(i, 0, keys.width, step),
        ...dots,
      ],
      'serial',
      together,
    ),
  ];
}

/** Products to scores, -Infinity for what a row does not see; their maxima by lanes in `most`. */
export function maskedScores(
  a: Attention,
  p: Panels,
  panel: Expr,
  k: KeyBlock,
  most: string,
): Stmt[] {
  const { builder: b, lanes, scores, lowered } = a;
  const { mask, score } = lowered;
  const { rows } = p;
  const four = (tile: string): Expr => lanesOf(load(tile, mul(panel, int(4)), 'i32', 4), lanes);
  const [i, h, length] = [p.i, p.h, p.length].map((tile) => named(b.fresh('rows'), four(tile)));
  const reads = (role: 'i' | 'j' | 'h'): boolean =>
    mentionsRole(mask, ['i', 'j', 'h'], role) || mentionsRole(score, ['s', 'i', 'j', 'h'], role);
  const together = keysAtOnce(a, p);
  const vectors = (together * rows) / lanes;
  const page = b.fresh('page');
  const key = b.fresh('key');
  const entry = named(b.fresh('entry'), add(mul(variable(page), int(blockEntries)), variable(key)));
  const block = named(b.fresh('block'), pageOf(a, k, page));
  const slot = add(mul(block.ref, int(blockEntries)), variable(key));
  const scaled = scalesAt(a.keys, block.ref, k.group, variable(key), together);
  const scales = scaled && named(b.fresh('scales'), scaled);
  const js = named(b.fresh('j'), load(a.positions, slot, 'i32', together));
  const body = range(vectors).flatMap((v): Stmt[] => {
    const keyOf = range(lanes).map((x) => Math.floor((v * lanes + x) / rows));
    const at = add(mul(entry.ref, int(rows)), int(v * lanes));
    const dot = load(scores, at, 'f32', lanes);
    const factor = splat(num(lowered.scale), lanes);
    const env = new Map<string, Expr>([
      ['s', mul(scales ? mul(dot, shuffle(scales.ref, scales.ref, keyOf)) : dot, factor)],
      ['i', present(i).ref],
      ['j', shuffle(js.ref, js.ref, keyOf)],
      ['h', present(h).ref],
    ]);
    const scored = named(b.fresh('score'), apply(score, env, ['s', 'i', 'j', 'h'], lanes));
    const numbers = load(p.numbers, int(v * lanes), 'i32', lanes);
    const number = add(splat(add(k.from, entry.ref), lanes), numbers);
    const visible = arithmetic(
      'and',
      compare('lt', number, present(length).ref),
      apply(mask, env, ['i', 'j', 'h'], lanes),
    );
    const masked = named(
      b.fresh('masked'),
      select(visible, scored.ref, splat(num(-Infinity), lanes)),
    );
    return [
      scored.stmt,
      masked.stmt,
      store(scores, at, masked.ref),
      store(most, 0, max(readRegister(most, 0, lanes), masked.ref)),
    ];
  });
  return [
    ...(reads('i') ? [present(i).stmt] : []),
    ...(reads('h') ? [present(h).stmt] : []),
    present(length).stmt,
    loop(page, 0, k.pages, [
      ...(reads('j') || scales ? [block.stmt] : []),
      loop(
        key,
        0,
        blockEntries,
        [entry.stmt, ...(reads('j') ? [js.stmt] : []), ...(scales ? [scales.stmt] : []), ...body],
        'serial',
        together,
      ),
    ]),
  ];
}

const mentionsRole = (fn: ScalarFn, roles: readonly string[], role: string): boolean =>
  fn.params.some((name, n) => roles[n] === role && mentions(fn.body, name));

/** A mask or score with its parameters replaced by lanes. */
function apply(
  fn: ScalarFn,
  values: ReadonlyMap<string, Expr>,
  roles: readonly string[],
  lanes: number,
): Expr {
  const env = new Map(fn.params.map((p, i) => [p, present(values.get(present(roles[i])), p)]));
  const go = (e: Expr): Expr => {
    if (e.op === 'var') return present(env.get(e.name), e.name);
    return { ...mapChildren(e, go), lanes };
  };
  return go(fn.body);
}
