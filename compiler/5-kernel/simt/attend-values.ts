/** Weighted sums of values, over the blocks of a part. */
import { blockKeys } from '../../4-partition/key-parts.ts';
import {
  type Expr, add, compare, div, fma, int, load, mul, num, rem, splat, variable,
} from '../../scalar/expr.ts'; // prettier-ignore
import { present } from '../../base/invariant.ts';
import type { Stmt } from '../kernel.ts';
import { blockEntries } from '../state-rows.ts';
import { loop, named, readRegister, registers, store, when } from '../statements.ts';
import { attendThreads } from './attend-shape.ts';
import {
  type Attention, type KeyBlock, type Rows, byTokens, leftOf, pageAt, range, rowRegister,
} from './attend-state.ts'; // prettier-ignore
import { wordElements, wordsFrom } from './state-words.ts';

/** Registers of the running weighted sums: rounds, elements of a word, rows. */
export function sumsOf(a: Attention, r: Rows) {
  const { lanes, rounds } = a.shape.values;
  const { perWord } = a.values;
  return {
    count: rounds * perWord * r.count,
    number: (round: number, n: number, row: number) => (round * perWord + n) * r.count + row,
    at: (number: number): Expr => readRegister(r.o, number, lanes),
  };
}

/** Registers of a thread, for its own keys and elements of all rows and for the row of its number. */
export const stateRegisters = (a: Attention, r: Rows): Stmt[] => [
  registers(r.l, r.count, 1),
  registers(r.o, sumsOf(a, r).count, a.shape.values.lanes),
  registers(r.row, 3, 1),
];

/** The state of rows before the first key of a part. */
export function clearPart(a: Attention, r: Rows): Stmt[] {
  const { lanes } = a.shape.values;
  return [
    store(r.row, rowRegister(r, 'm').number, num(-Infinity)),
    ...range(r.count).map((row) => store(r.l, row, num(0))),
    ...range(sumsOf(a, r).count).map((n) => store(r.o, n, splat(num(0), lanes))),
  ];
}

/** The elements of a row that a thread has in a round, for threads that have any. */
export function inColumns(a: Attention, of: (column: Expr, round: number) => Stmt[]): Stmt[] {
  const { columns, phases, rounds } = a.shape.values;
  const all = range(rounds).flatMap((round): Stmt[] => {
    const column = add(a.own.column, int(round * attendThreads));
    const stmts = of(column, round);
    const full = (round + 1) * attendThreads <= columns || rounds === 1;
    return full ? stmts : [when(compare('lt', column, int(columns)), stmts)];
  });
  const idle = rounds === 1 && phases * columns < attendThreads;
  return idle ? [when(compare('lt', a.own.valuePhase, int(phases)), all)] : all;
}

/** o = o * carry + the sum of weights times values, over the thread's keys of the block in order. */
export function sumOfValues(a: Attention, r: Rows, k: KeyBlock): Stmt[] {
  const { builder: b } = a.ctx;
  const { shape, values, own } = a;
  const { lanes, phases } = shape.values;
  const words = values.state.width / values.perWord;
  const sums = sumsOf(a, r);
  const carries = range(r.count).map((row) =>
    named(b.fresh('carry'), leftOf(a, int(row), 'carry')),
  );
  const carried = range(sums.count).map((n) =>
    store(r.o, n, mul(sums.at(n), splat(present(carries[n % r.count]).ref, lanes))),
  );
  return [
    ...carries.map((c) => c.stmt),
    ...carried,
    ...inColumns(a, (column, round) => {
      const key = b.fresh('key');
      const page = pageAt(a, k, div(variable(key), int(blockEntries)));
      const inPage = mul(rem(variable(key), int(blockEntries)), int(words));
      const start = add(wordsFrom(values, page, r.kvHead), inPage);
      const body: Stmt[] = [];
      const hold = (value: Expr): Expr => {
        const { stmt, ref } = named(b.fresh('v'), value);
        body.push(stmt);
        return ref;
      };
      const parts = wordElements(values, lanes, hold, add(start, mul(column, int(lanes))));
      const fmas = byTokens(a, r, (row) => {
        const weight = load(a.scores, add(int(row * blockKeys), variable(key)));
        const p = named(b.fresh('p'), weight);
        const adds = parts.map((v, n) => {
          const to = sums.number(round, n, row);
          return store(r.o, to, fma(splat(p.ref, lanes), v, sums.at(to)));
        });
        return [p.stmt, ...adds];
      });
      return [loop(key, own.valuePhase, k.count, [...body, ...fmas], 'serial', phases)];
    }),
  ];
}
