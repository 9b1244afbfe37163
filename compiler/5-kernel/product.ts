/**
 * The inner product tile of the `simd` machine class: a band of 16 output columns for one or more
 * tokens, over all of k. Lanes are columns; an element of x is the same in all of them, so nothing is
 * summed across lanes. 16-bit weights keep two chains per column, for even and for odd k.
 */
import type { DType } from '../base/type.ts';
import { type Expr, add, fma, int, load, mul, splat, variable } from '../scalar/expr.ts';
import type { Builder } from './builder.ts';
import { widenHalf } from './numbers.ts';
import type { Stmt } from './kernel.ts';
import { bandRows, perStep } from './layout.ts';
import type { SimdMachine } from './machine.ts';
import { loop, named, readRegister, registers, store } from './statements.ts';

export interface BandProduct {
  /** Tile of packed words and the word where the band begins. */
  readonly weight: string;
  readonly dtype: DType;
  readonly band: Expr;
  /** Steps over k in the band. */
  readonly steps: number;
  /** Tile of x and, for each token, the element where its row begins. */
  readonly x: string;
  readonly rows: readonly Expr[];
  /** Where column c of token m goes: y[out(m) + c]. */
  readonly y: string;
  readonly out: (m: number) => Expr;
}

/** Steps over k that a loop iteration writes out. */
const stepsAtOnce = 1;

export function bandProduct(b: Builder, machine: SimdMachine, p: BandProduct): Stmt[] {
  const laneGroups = bandRows / machine.lanes;
  const together = p.rows.length === 1 ? laneGroups : 1;
  const out: Stmt[] = [];
  for (let first = 0; first < laneGroups; first += together) {
    out.push(...groupProduct(b, machine, p, first, together));
  }
  return out;
}

function groupProduct(
  b: Builder,
  { lanes }: SimdMachine,
  p: BandProduct,
  first: number,
  groups: number,
): Stmt[] {
  const per = perStep(p.dtype);
  const tokens = p.rows.length;
  const acc = b.fresh('acc');
  const register = (g: number, m: number, chain: number): number => (g * tokens + m) * per + chain;
  const read = (g: number, m: number, chain: number): Expr =>
    readRegister(acc, register(g, m, chain), lanes);

  const stepAt = (word: Expr, k: Expr): Stmt[] => {
    const body: Stmt[] = [];
    const xs = p.rows.map((row) =>
      Array.from({ length: per }, (_, chain) => {
        const value = named(b.fresh('xk'), splat(load(p.x, add(add(row, k), int(chain))), lanes));
        body.push(value.stmt);
        return value.ref;
      }),
    );
    for (let g = 0; g < groups; g++) {
      const words = load(
        p.weight,
        add(word, int((first + g) * lanes)),
        per === 1 ? 'f32' : 'i32',
        lanes,
      );
      const held = named(b.fresh('w'), words);
      body.push(held.stmt);
      for (let chain = 0; chain < per; chain++) {
        const w = named(
          b.fresh('wf'),
          per === 1 ? held.ref : widenHalf(held.ref, p.dtype, chain === 0 ? 'low' : 'high'),
        );
        if (per > 1) body.push(w.stmt);
        xs.forEach((x, m) => {
          const product = fma(x[chain] ?? int(0), per === 1 ? held.ref : w.ref, read(g, m, chain));
          body.push(store(acc, register(g, m, chain), product));
        });
      }
    }
    return body;
  };

  const k = b.fresh('k');
  const at = (offset: number): Stmt[] => {
    const word = add(add(p.band, mul(variable(k), int(bandRows / per))), int(offset * bandRows));
    return stepAt(word, add(variable(k), int(offset * per)));
  };
  const full = Math.floor(p.steps / stepsAtOnce) * stepsAtOnce;
  const body = Array.from({ length: stepsAtOnce }, (_, s) => at(s)).flat();
  const stmts: Stmt[] = [registers(acc, groups * tokens * per, lanes)];
  if (full > 0) stmts.push(loop(k, 0, full * per, body, 'serial', stepsAtOnce * per));
  if (full < p.steps) stmts.push(loop(k, full * per, p.steps * per, at(0), 'serial', per));
  for (let g = 0; g < groups; g++) {
    for (let m = 0; m < tokens; m++) {
      const chains = Array.from({ length: per }, (_, chain) => read(g, m, chain));
      const total = chains.reduce((a, c) => add(a, c));
      stmts.push(store(p.y, add(p.out(m), int((first + g) * lanes)), total));
    }
  }
  return stmts;
}
