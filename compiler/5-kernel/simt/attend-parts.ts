/** What is left of a part of the keys: for the kernel that combines parts, or added to those before it. */
import { present } from '../../base/invariant.ts';
import {
  type Expr, add, compare, div, int, load, mul, num, rem, select, unary, variable,
} from '../../scalar/expr.ts'; // prettier-ignore
import { partAt, sinkOf } from '../attend-merge.ts';
import type { Stmt } from '../kernel.ts';
import { seesItself } from '../mask.ts';
import { loop, named, readRegister, registers, store, when } from '../statements.ts';
import { overMost, scoreAt, someOfRows } from './attend-scores.ts';
import {
  type Attention, type Rows, barrier, leftAt, leftOf, range, rowOf, rowRegister, thread,
} from './attend-state.ts'; // prettier-ignore
import { inColumns, sumsOf } from './attend-values.ts';

/** Which part it is, and where it goes. */
export interface PartPlace {
  /** Whether parts are left for another kernel, where they are, and the number of this one of the token's. */
  readonly split?: { readonly is: Expr; readonly parts: string; readonly number: Expr };
  /** Whether it is the first or the last of the workgroup's. */
  readonly first: Expr;
  readonly last: Expr;
}

/** What is there before any key, in each row's thread: nothing, or the sink's score with its weight of one. */
export function beginRows(a: Attention, r: Rows): Stmt[] {
  const { builder: b } = a.ctx;
  const [m, l] = [rowRegister(r, 'totalM').number, rowRegister(r, 'totalL').number];
  if (!a.lowered.sink) return [store(r.row, m, num(-Infinity))];
  const of = rowOf(a, r, thread);
  const position = named(b.fresh('i'), load(a.position, variable(of.token), 'i32'));
  const sink = sinkOf(a.ctx, a.facts, a.lowered, {
    token: of.token,
    position: position.ref,
    head: of.head,
    heads: a.heads,
    inLanes: false,
  });
  return [
    when(compare('lt', thread, int(r.count)), [
      ...of.stmts,
      position.stmt,
      ...sink.stmts,
      store(r.row, m, present(sink.value)),
      store(r.row, l, num(1)),
    ]),
  ];
}

/**
 * The end of a part: what threads have of it meets, in the threads' order; then they have elements of the
 * rows' results.
 */
export function endPart(a: Attention, r: Rows, place: PartPlace): Stmt[] {
  const side = Math.min(r.count, a.shape.side);
  const sets = range(Math.ceil(r.count / side)).map((set) => ({
    from: set * side,
    count: Math.min(side, r.count - set * side),
  }));
  const weights = range(r.count).map((row) =>
    store(a.scores, scoreAt(int(row)), readRegister(r.l, row, 1)),
  );
  return [
    barrier,
    ...weights,
    ...sets.flatMap(({ from, count }, n) => [
      ...(n > 0 ? [barrier] : []),
      ...leaveSums(a, r, side, from, count),
      barrier,
      ...(n > 0
        ? []
        : [
            ...someOfRows(a, r, add),
            barrier,
            when(compare('lt', thread, int(r.count)), endRow(a, r, place)),
            barrier,
          ]),
      ...takeSums(a, r, side, from, count, place),
    ]),
  ];
}

const sumPlace = (a: Attention, side: number, phase: Expr, row: Expr): Expr =>
  add(mul(phase, int(side * a.values.state.width)), mul(row, int(a.values.state.width)));

function leaveSums(a: Attention, r: Rows, side: number, from: number, count: number): Stmt[] {
  const { together, lanes } = a.shape.values;
  const sums = sumsOf(a, r);
  return inColumns(a, (column, round) =>
    range(count).flatMap((x) =>
      range(a.values.perWord).map((n) => {
        const to = add(mul(column, int(together)), int(n * lanes));
        const at = sumPlace(a, side, a.own.valuePhase, int(x));
        return store(a.sums, add(at, to), sums.at(sums.number(round, n, from + x)));
      }),
    ),
  );
}

/** What the thread of a row does: its part's maximum and sum to where they go. */
function endRow(a: Attention, r: Rows, { split }: PartPlace): Stmt[] {
  const { builder: b } = a.ctx;
  const { lowered } = a;
  const { width } = a.values.state;
  const [m, oldM, oldL] = [rowRegister(r, 'm'), rowRegister(r, 'totalM'), rowRegister(r, 'totalL')];
  const sum = overMost(a, add);
  const l = named(b.fresh('part_l'), sum.value);
  const merged = lowered.monoid.combine([oldM.value, oldL.value, num(0)], [m.value, l.ref, num(0)]);
  const some = compare('gt', m.value, num(-Infinity));
  const [nextM, nextL] = [oldM, oldL].map((old, n) =>
    named(b.fresh('total'), select(some, present(merged[n]), old.value)),
  );
  const [totalM, totalL] = [present(nextM), present(nextL)];
  const over = lowered.normalise ? div(num(1), totalL.ref) : unary('exp', totalM.ref);
  // A token that sees nothing attends to nothing.
  const inverse = seesItself(lowered.mask)
    ? over
    : select(compare('gt', totalL.ref, num(0)), over, num(0));
  const kept: Stmt[] = [
    totalM.stmt,
    totalL.stmt,
    store(a.state, leftAt(thread, 'partM'), m.value),
    store(a.state, leftAt(thread, 'partL'), l.ref),
    store(a.state, leftAt(thread, 'totalM'), oldM.value),
    store(a.state, leftAt(thread, 'inverse'), inverse),
    store(r.row, oldM.number, totalM.ref),
    store(r.row, oldL.number, totalL.ref),
  ];
  if (!split) return [...sum.stmts, l.stmt, ...kept];
  const of = rowOf(a, r, thread);
  const item = add(mul(variable(of.token), int(a.heads)), of.head);
  const at = named(b.fresh('part_at'), partAt(item, split.number, width));
  const leave: Stmt[] = [
    at.stmt,
    store(split.parts, add(at.ref, int(width)), m.value),
    store(split.parts, add(at.ref, int(width + 1)), l.ref),
  ];
  const left = [...of.stmts, ...(of.there ? [when(of.there, leave)] : leave)];
  return [...sum.stmts, l.stmt, when(split.is, left, kept)];
}

/** Elements of a few rows: those of the part, or the rows' results so far, which lie where the last ones go. */
function takeSums(
  a: Attention,
  r: Rows,
  side: number,
  from: number,
  count: number,
  { split, first, last }: PartPlace,
): Stmt[] {
  const { builder: b } = a.ctx;
  const { values, shape, lowered } = a;
  const { together, lanes, phases } = shape.values;
  const { width } = values.state;
  const x = b.fresh('x');
  const inSet = named(b.fresh('in_set'), div(variable(x), int(width)));
  const element = named(b.fresh('element'), rem(variable(x), int(width)));
  const inWords = rem(element.ref, int(together));
  const within = add(mul(rem(inWords, int(values.perWord)), int(lanes)), div(inWords, int(values.perWord))); // prettier-ignore
  const place = add(mul(div(element.ref, int(together)), int(together)), within);
  const at = named(b.fresh('at'), add(mul(inSet.ref, int(width)), place));
  const part = sumOfPhases(a, at.ref, phases, side * width);
  const row = named(b.fresh('row'), add(inSet.ref, int(from)));
  const of = rowOf(a, r, row.ref);
  const item = named(b.fresh('item'), add(mul(variable(of.token), int(a.heads)), of.head));
  const to = add(mul(item.ref, int(width)), element.ref);
  const before = named(b.fresh('before'), select(first, num(0), load(a.out, to)));
  const merged = lowered.monoid.combine(
    [leftOf(a, row.ref, 'totalM'), num(0), before.ref],
    [leftOf(a, row.ref, 'partM'), num(0), part.ref],
  );
  // A part that has seen nothing leaves all as it was.
  const some = compare('gt', leftOf(a, row.ref, 'partM'), num(-Infinity));
  const next = named(b.fresh('o'), select(some, present(merged[2]), before.ref));
  const result = select(last, mul(next.ref, leftOf(a, row.ref, 'inverse')), next.ref);
  const kept = [before.stmt, next.stmt, store(a.out, to, result)];
  const leave = split && [
    store(split.parts, add(partAt(item.ref, split.number, width), element.ref), part.ref),
  ];
  const body = [
    ...part.stmts,
    item.stmt,
    ...(split && leave ? [when(split.is, leave, kept)] : kept),
  ];
  const stmts = [inSet, element, at, row].map((s) => s.stmt);
  const inside = of.there ? [when(of.there, body)] : body;
  return [loop(x, 0, count * width, [...stmts, ...of.stmts, ...inside], 'thread')];
}

/** Phases that are added in one expression; more of them in a loop, as parsers go only so deep. */
const writtenOut = 16;

/** What the threads that had an element's keys left, in their order. */
function sumOfPhases(
  { sums, ctx: { builder: b } }: Attention,
  first: Expr,
  phases: number,
  stride: number,
): { readonly stmts: readonly Stmt[]; readonly ref: Expr } {
  const at = (n: Expr): Expr => load(sums, add(first, mul(n, int(stride))));
  if (phases <= writtenOut) {
    const { stmt, ref } = named(b.fresh('part_o'), range(phases).map((n) => at(int(n))).reduce(add)); // prettier-ignore
    return { stmts: [stmt], ref };
  }
  const [total, phase] = [b.fresh('total'), b.fresh('phase')];
  const held = readRegister(total, 0, 1);
  const { stmt, ref } = named(b.fresh('part_o'), held);
  const step = store(total, 0, add(held, at(variable(phase))));
  return { stmts: [registers(total, 1, 1), loop(phase, 0, phases, [step]), stmt], ref };
}
