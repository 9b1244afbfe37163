/** Scores of a panel's rows for a block of keys. */
import { present } from '../base/invariant.ts';
import {
  type Expr, type ScalarFn, add, arithmetic, compare, fma, int, load, max, mul, num, select, splat,
  variable,
} from '../scalar/expr.ts'; // prettier-ignore
import { mapChildren } from '../scalar/walk.ts';
import {
  type Attention, type KeyBlock, type Panels, keysAtOnce, lanesFor, pageOf, range,
} from './attend-state.ts'; // prettier-ignore
import type { Stmt } from './kernel.ts';
import { lanesOf, shuffle, sumsAcross } from './lane-sums.ts';
import { blockEntries, blockStart, entries, scalesAt } from './state-rows.ts';
import { loop, named, readRegister, registers, store } from './statements.ts';
import { mentions } from './vectorize.ts';

/** q . k of all rows and entries of the block's pages, some keys at a time. */
export function products(a: Attention, p: Panels, panel: Expr, k: KeyBlock): Stmt[] {
  const { builder: b, keys, lanes, scores } = a;
  const { rows } = p;
  const { width } = keys;
  const together = a.accumulators / rows;
  const own = lanesFor(width, lanes);
  const full = Math.floor(width / own) * own;
  const page = b.fresh('page');
  const key = b.fresh('key');
  const i = b.fresh('i');
  const qAt = range(rows).map((r) =>
    named(b.fresh('q_at'), load(p.q, add(mul(panel, int(4)), int(r)), 'i32')),
  );
  const start = named(b.fresh('k_page'), blockStart(keys, pageOf(a, k, page), k.group));
  const base = named(b.fresh('k_at'), add(start.ref, mul(variable(key), int(width))));
  const acc = b.fresh('dot');
  const keyAt = (n: number, at: number): Expr =>
    entries(keys, add(add(base.ref, variable(i)), int(n * width)), at);
  const qs = qAt.map((q) => named(b.fresh('q'), load(a.q, add(q.ref, variable(i)), 'f32', own)));
  const pairs = range(together).flatMap((n) =>
    range(rows).map((r) => ({ n, r, at: n * rows + r })),
  );
  const ks = range(together).map((n) => named(b.fresh('k'), keyAt(n, own)));
  const step: Stmt[] = [
    ...qs.map((q) => q.stmt),
    ...range(together).flatMap((n): Stmt[] => [
      present(ks[n]).stmt,
      ...range(rows).map((r) =>
        store(
          acc,
          n * rows + r,
          fma(present(qs[r]).ref, present(ks[n]).ref, readRegister(acc, n * rows + r, own)),
        ),
      ),
    ]),
  ];
  const across = sumsAcross(
    b,
    pairs.map((x) => readRegister(acc, x.at, own)),
    lanes,
  );
  const to = mul(add(mul(variable(page), int(blockEntries)), variable(key)), int(rows));
  const at = named(b.fresh('at'), to);
  const rest = b.fresh('i');
  // The last elements of a head whose size is no multiple of four.
  const tail = pairs.map(({ n, r, at: x }): Stmt => {
    const place = add(at.ref, int(x));
    const q = load(a.q, add(present(qAt[r]).ref, variable(rest)));
    const product = mul(q, entries(keys, add(add(base.ref, variable(rest)), int(n * width))));
    return store(scores, place, add(load(scores, place), product));
  });
  return [
    ...qAt.map((q) => q.stmt),
    loop(page, 0, k.pages, [
      start.stmt,
      loop(
        key,
        0,
        blockEntries,
        [
          base.stmt,
          registers(acc, a.accumulators, own),
          loop(i, 0, full, step, 'vector', own),
          ...across.stmts,
          at.stmt,
          ...across.sums.map((sum, n) => store(scores, add(at.ref, int(n * sum.lanes)), sum)),
          ...(full < width ? [loop(rest, full, width, tail)] : []),
        ],
        'serial',
        together,
      ),
    ]),
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
