import {
  type Expr,
  type ScalarType,
  add,
  max,
  mul,
  num,
  select,
  compare,
  sub,
  unary,
} from './expr.ts';

/**
 * A reduction as data: a tuple of state, its identity, how two states combine, and what the result
 * is. Split reductions, lane reductions and merges of partial results derive from it.
 *
 * Components of size `one` are scalars; those of size `row` hold one value for each element of the
 * reduced result (an attention output) and combine element by element.
 */
export interface Monoid {
  readonly name: string;
  readonly state: readonly MonoidComponent[];
  /** The first of two states must be of earlier elements: combining them the other way gives another. */
  readonly ordered?: true;
  /** Both arguments and the result list one expression per component (an element of a `row`). */
  combine(a: readonly Expr[], b: readonly Expr[]): readonly Expr[];
  finish(state: readonly Expr[]): Expr;
}

export interface MonoidComponent {
  readonly name: string;
  readonly dtype: ScalarType;
  readonly size: 'one' | 'row';
  readonly identity: number;
}

const single = (name: string, identity: number, merge: (a: Expr, b: Expr) => Expr): Monoid => ({
  name,
  state: [{ name: 'value', dtype: 'f32', size: 'one', identity }],
  combine: (a, b) => [merge(first(a), first(b))],
  finish: first,
});

function first(state: readonly Expr[]): Expr {
  return state[0] ?? num(0);
}

export const sum: Monoid = single('sum', 0, add);
export const maximum: Monoid = single('max', -Infinity, max);

/** The position of the largest value; the lower position wins a tie. State (value, index). */
export const argmax: Monoid = {
  name: 'argmax',
  ordered: true,
  state: [
    { name: 'value', dtype: 'f32', size: 'one', identity: -Infinity },
    { name: 'index', dtype: 'i32', size: 'one', identity: 0 },
  ],
  combine([av = num(0), ai = num(0, 'i32')], [bv = num(0), bi = num(0, 'i32')]) {
    const take = compare('gt', bv, av);
    return [select(take, bv, av), select(take, bi, ai)];
  },
  finish: ([, index = num(0, 'i32')]) => index,
};

/**
 * Softmax-weighted sum without a second pass: running maximum m, sum of exponentials l, weighted
 * sum o. Milakov and Gimelshein, "Online normalizer calculation for softmax" (2018), section 3.
 */
export const onlineSoftmax: Monoid = {
  name: 'online-softmax',
  state: [
    { name: 'm', dtype: 'f32', size: 'one', identity: -Infinity },
    { name: 'l', dtype: 'f32', size: 'one', identity: 0 },
    { name: 'o', dtype: 'f32', size: 'row', identity: 0 },
  ],
  combine([am = num(0), al = num(0), ao = num(0)], [bm = num(0), bl = num(0), bo = num(0)]) {
    const m = max(am, bm);
    const ea = unary('exp', sub(am, m));
    const eb = unary('exp', sub(bm, m));
    return [m, add(mul(al, ea), mul(bl, eb)), add(mul(ao, ea), mul(bo, eb))];
  },
  finish: ([, l = num(1), o = num(0)]) => ({ op: 'div', a: o, b: l, dtype: 'f32', lanes: o.lanes }),
};
