/** Weighted sums of values, and a part of the keys from its first one to what is left of it. */
import { present } from '../../base/invariant.ts';
import { blockKeys } from '../../4-partition/key-parts.ts';
import {
  type Expr, add, compare, div, fma, int, load, mul, num, rem, select, splat, unary, variable,
} from '../../scalar/expr.ts'; // prettier-ignore
import { partAt, sinkOf } from '../attend-merge.ts';
import type { Stmt } from '../kernel.ts';
import { seesItself } from '../mask.ts';
import { blockEntries } from '../state-rows.ts';
import { loop, named, readRegister, registers, store, when } from '../statements.ts';
import { overMost, scoreAt, someOfRows } from './attend-scores.ts';
import { attendThreads } from './attend-shape.ts';
import {
  type Attention, type KeyBlock, type Rows, barrier, pageAt, range, rowOf, thread,
} from './attend-state.ts'; // prettier-ignore
import { wordElements, wordsFrom } from './state-words.ts';

/** Registers of the running weighted sums: rounds, elements of a word, rows. */
function sumsOf(a: Attention, r: Rows) {
  const { lanes, rounds } = a.shape.values;
  const { perWord } = a.values;
  return {
    count: rounds * perWord * r.count,
    number: (round: number, n: number, row: number) => (round * perWord + n) * r.count + row,
    at: (number: number): Expr => readRegister(r.o, number, lanes),
  };
}

/** The state of rows before the first key of a part. */
export function clearPart(a: Attention, r: Rows): Stmt[] {
  const sums = sumsOf(a, r);
  const { lanes } = a.shape.values;
  return [
    ...range(r.count).flatMap((row) => [store(r.m, row, num(-Infinity)), store(r.l, row, num(0))]),
    ...range(sums.count).map((n) => store(r.o, n, splat(num(0), lanes))),
  ];
}

export const stateRegisters = (a: Attention, r: Rows): Stmt[] => [
  registers(r.m, r.count, 1),
  registers(r.l, r.count, 1),
  registers(r.o, sumsOf(a, r).count, a.shape.values.lanes),
];

/** o = o * carry + the sum of weights times values, over the thread's keys of the block in order. */
export function sumOfValues(a: Attention, r: Rows, k: KeyBlock, carry: readonly Expr[]): Stmt[] {
  const { builder: b } = a.ctx;
  const { shape, values, own } = a;
  const { lanes, columns, phases, rounds } = shape.values;
  const words = values.state.width / values.perWord;
  const sums = sumsOf(a, r);
  const carried = range(sums.count).map((n) =>
    store(r.o, n, mul(sums.at(n), splat(present(carry[n % r.count]), lanes))),
  );
  const key = b.fresh('key');
  const page = pageAt(a, k, div(variable(key), int(blockEntries)));
  const inPage = mul(rem(variable(key), int(blockEntries)), int(words));
  const base = named(b.fresh('v_at'), add(wordsFrom(values, page, r.kvHead), inPage));
  const ps = range(r.count).map((row) =>
    named(b.fresh('p'), load(a.scores, add(int(row * blockKeys), variable(key)))),
  );
  const body = range(rounds).flatMap((round): Stmt[] => {
    const column = add(own.column, int(round * attendThreads));
    const out: Stmt[] = [];
    const hold = (value: Expr): Expr => {
      const { stmt, ref } = named(b.fresh('v'), value);
      out.push(stmt);
      return ref;
    };
    const at = add(base.ref, mul(column, int(lanes)));
    wordElements(values, lanes, hold, at).forEach((v, n) =>
      ps.forEach((p, row) => {
        const to = sums.number(round, n, row);
        out.push(store(r.o, to, fma(splat(p.ref, lanes), v, sums.at(to))));
      }),
    );
    const full = (round + 1) * attendThreads <= columns || rounds === 1;
    return full ? out : [when(compare('lt', column, int(columns)), out)];
  });
  const over = loop(
    key,
    own.valuePhase,
    k.count,
    [base.stmt, ...ps.map((p) => p.stmt), ...body],
    'serial',
    phases,
  );
  const idle = rounds === 1 && phases * columns < attendThreads;
  return [...carried, idle ? when(compare('lt', own.valuePhase, int(phases)), [over]) : over];
}

/** A part's weighted sum of a row for an element; `l` stands after all of them. */
export interface PartResult {
  /** `element`: below the head's size where `inside` says so, as some threads have none. */
  readonly element: (row: number, step: number, element: Expr, value: Expr) => readonly Stmt[];
  readonly sums: (row: number, m: Expr, l: Expr) => readonly Stmt[];
}

/** Elements that a thread has of a row's result. */
export const stepsOf = (a: Attention): number => Math.ceil(a.values.state.width / attendThreads);

/** What threads have of a part meets, in the threads' order; then each thread has some elements of each row. */
export function gathered(a: Attention, r: Rows, result: PartResult): Stmt[] {
  const { builder: b } = a.ctx;
  const { values, shape, own } = a;
  const { lanes, together, columns, phases, rounds } = shape.values;
  const { width } = values.state;
  const sums = sumsOf(a, r);
  const side = Math.min(r.count, shape.side);
  const place = (phase: Expr, x: number): Expr =>
    add(mul(phase, int(side * width)), int(x * width));
  const sets = range(Math.ceil(r.count / side)).map((set) =>
    range(side).map((x) => set * side + x).filter((row) => row < r.count),
  ); // prettier-ignore
  const leave = (rows: readonly number[]): Stmt[] => {
    const all = range(rounds).flatMap((round): Stmt[] => {
      const column = add(own.column, int(round * attendThreads));
      const stores = rows.flatMap((row, x) =>
        range(values.perWord).map((n) => {
          const to = add(mul(column, int(together)), int(n * lanes));
          return store(
            a.sums,
            add(place(own.valuePhase, x), to),
            sums.at(sums.number(round, n, row)),
          );
        }),
      );
      const full = (round + 1) * attendThreads <= columns || rounds === 1;
      return full ? stores : [when(compare('lt', column, int(columns)), stores)];
    });
    const idle = rounds === 1 && phases * columns < attendThreads;
    return idle ? [when(compare('lt', own.valuePhase, int(phases)), all)] : all;
  };
  const take = (rows: readonly number[]): Stmt[] =>
    rows.flatMap((row, x) =>
      range(stepsOf(a)).flatMap((step): Stmt[] => {
        const element = named(b.fresh('element'), add(thread, int(step * attendThreads)));
        const inWords = rem(element.ref, int(together));
        const within = add(
          mul(rem(inWords, int(values.perWord)), int(lanes)),
          div(inWords, int(values.perWord)),
        );
        const at = add(mul(div(element.ref, int(together)), int(together)), within);
        const all = range(phases).map((phase) => load(a.sums, add(place(int(phase), x), at)));
        const total = named(b.fresh('o'), all.reduce(add));
        const body = [total.stmt, ...result.element(row, step, element.ref, total.ref)];
        const full = (step + 1) * attendThreads <= width;
        return [
          element.stmt,
          ...(full ? body : [when(compare('lt', element.ref, int(width)), body)]),
        ];
      }),
    );
  const weights = range(r.count).map((row) =>
    store(a.scores, scoreAt(int(row)), readRegister(r.l, row, 1)),
  );
  return [
    barrier,
    ...weights,
    ...sets.flatMap((rows, n) => [
      ...(n > 0 ? [barrier] : []),
      ...leave(rows),
      barrier,
      ...(n === 0 ? someOfRows(a, r, add) : []),
      ...take(rows),
    ]),
    barrier,
    ...range(r.count).flatMap((row) => {
      const l = overMost(a, row, add);
      return [...l.stmts, ...result.sums(row, readRegister(r.m, row, 1), l.value)];
    }),
  ];
}

/** Leaves a part for the kernel that combines them; `number`: of the part among the token's. */
export function leavePart(a: Attention, r: Rows, parts: string, number: Expr): Stmt[] {
  const { builder: b } = a.ctx;
  const { width } = a.values.state;
  const rows = range(r.count).map((row) => {
    const of = rowOf(a, r, int(row));
    const item = add(mul(variable(of.token), int(a.heads)), of.head);
    return { of, at: named(b.fresh('part_at'), partAt(item, number, width)) };
  });
  const where = (row: number, stmts: readonly Stmt[]): Stmt[] => {
    const { there } = present(rows[row]).of;
    return there ? [when(there, stmts)] : [...stmts];
  };
  const at = (row: number): Expr => present(rows[row]).at.ref;
  return [
    ...rows.flatMap((x) => [...x.of.stmts, x.at.stmt]),
    ...gathered(a, r, {
      element: (row, _, element, value) => where(row, [store(parts, add(at(row), element), value)]),
      sums: (row, m, l) =>
        where(row, [
          when(compare('eq', thread, int(0)), [
            store(parts, add(at(row), int(width)), m),
            store(parts, add(at(row), int(width + 1)), l),
          ]),
        ]),
    }),
  ];
}

/** Registers of what a thread has of the rows over all parts so far. */
export interface Totals {
  readonly m: string;
  readonly l: string;
  readonly o: string;
}

/** What is there before any key: nothing, or the sink's score with its weight of one. */
export function beginTotals(a: Attention, r: Rows, t: Totals): Stmt[] {
  const { builder: b } = a.ctx;
  const count = r.count * stepsOf(a);
  return [
    registers(t.m, r.count, 1),
    registers(t.l, r.count, 1),
    registers(t.o, count, 1),
    ...range(r.count).flatMap((row): Stmt[] => {
      if (!a.lowered.sink) return [store(t.m, row, num(-Infinity))];
      const of = rowOf(a, r, int(row));
      const position = named(b.fresh('i'), load(a.position, variable(of.token), 'i32'));
      const sink = sinkOf(a.ctx, a.facts, a.lowered, {
        token: of.token,
        position: position.ref,
        head: of.head,
        heads: a.heads,
        inLanes: false,
      });
      return [
        ...of.stmts,
        position.stmt,
        ...sink.stmts,
        store(t.m, row, present(sink.value)),
        store(t.l, row, num(1)),
      ];
    }),
  ];
}

/** Combines a part into what was before it; one that has seen nothing leaves it alone. */
export function addPart(a: Attention, r: Rows, t: Totals): Stmt[] {
  const { monoid } = a.lowered;
  const merged = (row: number, l: Expr, o: Expr, po: Expr): readonly Expr[] =>
    monoid.combine(
      [readRegister(t.m, row, 1), readRegister(t.l, row, 1), o],
      [readRegister(r.m, row, 1), l, po],
    );
  const some = (row: number, stmts: readonly Stmt[]): Stmt =>
    when(compare('gt', readRegister(r.m, row, 1), num(-Infinity)), stmts);
  return gathered(a, r, {
    element: (row, step, _, value) => {
      const to = row * stepsOf(a) + step;
      const [, , next] = merged(row, num(0), readRegister(t.o, to, 1), value);
      return [some(row, [store(t.o, to, present(next))])];
    },
    sums: (row, _, l) => {
      const { stmt, ref } = named(a.ctx.builder.fresh('part_l'), l);
      const [m, total] = merged(row, ref, num(0), num(0));
      return [some(row, [stmt, store(t.l, row, present(total)), store(t.m, row, present(m))])];
    },
  });
}

/** The results of the rows. */
export function leaveResult(a: Attention, r: Rows, t: Totals): Stmt[] {
  const { builder: b } = a.ctx;
  const { width } = a.values.state;
  return range(r.count).flatMap((row): Stmt[] => {
    const of = rowOf(a, r, int(row));
    const item = add(mul(variable(of.token), int(a.heads)), of.head);
    const inverse = named(b.fresh('inverse'), inverseOf(a, t, row));
    const to = named(b.fresh('out_row'), mul(item, int(width)));
    const stores = range(stepsOf(a)).map((step): Stmt => {
      const element = add(thread, int(step * attendThreads));
      const value = mul(readRegister(t.o, row * stepsOf(a) + step, 1), inverse.ref);
      const one = store(a.out, add(to.ref, element), value);
      const full = (step + 1) * attendThreads <= width;
      return full ? one : when(compare('lt', element, int(width)), [one]);
    });
    const body = [inverse.stmt, to.stmt, ...stores];
    return [...of.stmts, ...(of.there ? [when(of.there, body)] : body)];
  });
}

function inverseOf({ lowered }: Attention, t: Totals, row: number): Expr {
  const l = readRegister(t.l, row, 1);
  const over = lowered.normalise ? div(num(1), l) : unary('exp', readRegister(t.m, row, 1));
  // A token that sees nothing attends to nothing.
  return seesItself(lowered.mask) ? over : select(compare('gt', l, num(0)), over, num(0));
}
