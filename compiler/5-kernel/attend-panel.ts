/**
 * Attention of a few rows (a token and a query head each, all of one key head) over a block of keys:
 * products, mask and score, then the online-softmax step and the weighted sum of the values. Every key
 * and value that is loaded serves all rows. What a row's result is does not hang on how many others it
 * has beside it: products are summed over the head's elements, weights in four sums by the key's number
 * modulo 4, values key by key. Milakov and Gimelshein 2018; Dao et al. 2022, section 3.
 */
import {
  type Expr, compare, int, lane, load, max, mul, num, select, splat, sub, unary,
} from '../scalar/expr.ts'; // prettier-ignore
import { maskedScores, products } from './attend-scores.ts';
import { type Attention, type KeyBlock, type Panels, range } from './attend-state.ts';
import { sumOfValues, sumOfWeights } from './attend-values.ts';
import type { Stmt } from './kernel.ts';
import { lanesOf, mostAcross } from './lanes.ts';
import { named, readRegister, registers, store, when } from './statements.ts';

/** Statements that take one panel, by its number, through a block of keys. */
export function panelBlock(a: Attention, p: Panels, panel: Expr, k: KeyBlock): Stmt[] {
  const { builder: b, lanes } = a;
  const most = b.fresh('most');
  const largest = readRegister(most, 0, lanes);
  const across = mostAcross(b, largest, p.rows);
  const before = load(p.m, mul(panel, int(4)), 'f32', 4);
  const m = named(b.fresh('m'), max(lanesOf(before, lanes), across.most));
  // A row that sees nobody yet has weights of e^-Infinity, not of e^(Infinity - Infinity).
  const finite = compare('gt', m.ref, splat(num(-Infinity), lanes));
  const by = named(b.fresh('by'), select(finite, m.ref, splat(num(0), lanes)));
  const carry = named(b.fresh('carry'), unary('exp', sub(lanesOf(before, lanes), by.ref)));
  const seen = range(p.rows)
    .map((r) => lane(across.most, r))
    .reduce(max);
  return [
    registers(most, 1, lanes),
    store(most, 0, splat(num(-Infinity), lanes)),
    ...products(a, p, panel, k),
    ...maskedScores(a, p, panel, k, most),
    ...across.stmts,
    // For those who see nothing of the block it leaves all as it is.
    when(compare('gt', seen, num(-Infinity)), [
      m.stmt,
      by.stmt,
      carry.stmt,
      store(p.m, mul(panel, int(4)), lanesOf(m.ref, 4)),
      ...sumOfWeights(a, p, panel, k, by.ref, carry.ref),
      ...sumOfValues(a, p, panel, k, carry.ref),
    ]),
  ];
}
