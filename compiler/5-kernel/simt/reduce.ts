/**
 * Reductions by the threads of a workgroup: each combines a part of the terms, then what they have goes
 * through shared memory. The order depends on the number of threads, of results and of terms alone.
 */
import { present } from '../../base/invariant.ts';
import { type Expr, add, arithmetic, compare, div, int, load, min, mul, num, rem, splat, sub, variable } from '../../scalar/expr.ts'; // prettier-ignore
import type { Monoid } from '../../scalar/monoid.ts';
import type { Builder } from '../builder.ts';
import type { Stmt } from '../kernel.ts';
import { type Linear, loopIndex } from '../linear.ts';
import { letStmt, loop, named, readRegister, registers, store, when } from '../statements.ts';
import { reduceLanes, simdLanes } from '../vectorize.ts';
import { quadIndex, quadOf } from './quads.ts';

export const barrier: Stmt = { kind: 'barrier', owner: 'workgroup' };
export const thread = variable('thread');

/** Terms that a thread combines by itself rather than meet with others. */
const alone = 16;
/** Partial results that each thread reads for itself in the end. */
const few = 16;

const powerAtMost = (n: number): number => 2 ** Math.floor(Math.log2(n));
const powerAtLeast = (n: number): number => 2 ** Math.ceil(Math.log2(n));

/** Threads that share each of some reductions: a power of two. */
export function threadsEach(threads: number, results: number, extent: number): number {
  if (extent <= alone) return 1;
  const most = Math.min(threads, powerAtLeast(extent));
  const least = Math.min(8, most);
  return Math.max(least, Math.min(most, powerAtMost(Math.max(1, threads / results))));
}

export interface Reduction {
  readonly monoid: Monoid;
  /** Terms are k = 0 .. extent-1. */
  readonly extent: number;
  /** Neighbouring threads that share the reduction, a power of two. */
  readonly each: number;
  body(k: Linear): Expr;
  /** Threads for which it does not hold take part with nothing. */
  readonly only?: Expr;
}

export interface Reduced {
  readonly stmts: readonly Stmt[];
  /** The combined state, in each of the threads that share the reduction. */
  readonly state: readonly Expr[];
}

/** All threads of the workgroup must come to the statements. */
export function reduceThreads(b: Builder, threads: number, r: Reduction): Reduced {
  const own = partOf(b, r);
  if (r.each === 1) return own;
  const across = acrossThreads(b, threads, r, own.state);
  return { stmts: [...own.stmts, ...across.stmts], state: across.state };
}

/** Which of the threads that share a reduction runs. */
const laneOf = (each: number): Expr => rem(thread, int(each));

/** The terms of one thread: every `each`-th, or consecutive ones where order matters. */
function partOf(b: Builder, r: Reduction): Reduced {
  const { monoid, extent, each, only } = r;
  const parts = monoid.state.map((c) => ({ ...c, register: b.fresh(c.name) }));
  const state = parts.map((p) => readRegister(p.register, 0, 1, p.dtype));
  const begin = parts.flatMap((p): Stmt[] => [
    registers(p.register, 1, 1, p.dtype === 'i32' ? 'i32' : 'f32'),
    store(p.register, 0, num(p.identity, p.dtype)),
  ]);
  const guarded = (body: readonly Stmt[]): readonly Stmt[] => (only ? [when(only, body)] : body);
  const wide = inQuads(b, r, present(parts[0]).register);
  if (wide) return { stmts: [...begin, ...guarded(wide)], state };
  const name = b.fresh('k');
  const k = loopIndex(name, Math.max(extent, 2));
  const lifted = [r.body(extent === 1 ? loopIndex(name, 1) : k), variable(name)];
  const held = monoid
    .combine(state, lifted.slice(0, parts.length))
    .map((value, i) => ({ name: b.fresh('next'), value, part: present(parts[i]) }));
  const body: Stmt[] = [
    ...held.map((h) => letStmt(h.name, h.value)),
    ...held.map((h) => store(h.part.register, 0, variable(h.name, h.part.dtype))),
  ];
  const lane = laneOf(each);
  const share = Math.ceil(extent / each);
  const walk = monoid.ordered
    ? loop(
        name,
        mul(lane, int(share)),
        min(add(mul(lane, int(share)), int(share)), int(extent)),
        body,
      )
    : loop(name, each === 1 ? int(0) : lane, extent, body, 'serial', each);
  return { stmts: [...begin, ...guarded([walk])], state };
}

/** Four terms at a time, where they lie side by side: four partial results, combined in the end. */
function inQuads(b: Builder, r: Reduction, register: string): readonly Stmt[] | undefined {
  const { monoid, extent, each } = r;
  const [component] = monoid.state;
  if (monoid.ordered || monoid.state.length !== 1 || !component) return undefined;
  if (extent % simdLanes !== 0 || extent / simdLanes < each) return undefined;
  const q = b.fresh('q');
  const { index, lane } = quadIndex(b, loopIndex(q, extent / simdLanes));
  const quad = quadOf(b, r.body(index), lane);
  if (!quad) return undefined;
  const lanes = b.fresh('lanes');
  const acc = readRegister(lanes, 0, simdLanes, component.dtype);
  const merge = (x: Expr, y: Expr): Expr => present(monoid.combine([x], [y])[0]);
  return [
    registers(lanes, 1, simdLanes),
    store(lanes, 0, splat(num(component.identity, component.dtype), simdLanes)),
    loop(
      q,
      each === 1 ? int(0) : laneOf(each),
      extent / simdLanes,
      [...quad.held.map((h) => letStmt(h.name, h.value)), store(lanes, 0, merge(acc, quad.value))],
      'serial',
      each,
    ),
    store(register, 0, reduceLanes(acc, merge)),
  ];
}

/**
 * Partial results of neighbours. Tiles serve one reduction after the other: no thread stores to one of
 * them before all have read what was there.
 */
function acrossThreads(
  b: Builder,
  threads: number,
  { monoid, each }: Reduction,
  own: readonly Expr[],
): Reduced {
  const tile = (hint: string, i: number, elements: number): string =>
    b.reused(`${hint}_${present(monoid.state[i]).dtype}_${i}`, elements, present(monoid.state[i]).dtype === 'i32' ? 'i32' : 'f32'); // prettier-ignore
  const group = div(thread, int(each));
  const from = sub(thread, laneOf(each));
  const keep = (hint: string, size: number, at: Expr, state: readonly Expr[]): readonly Stmt[] =>
    state.map((s, i) => store(tile(hint, i, size), at, s));
  const gather = (hint: string, size: number, count: number, at: (j: number) => Expr): Reduced =>
    inPairs(
      b,
      monoid,
      Array.from({ length: count }, (_, j) =>
        monoid.state.map((c, i) => load(tile(hint, i, size), at(j), c.dtype)),
      ),
    );
  if (each <= few) {
    const all = gather('few', threads, each, (j) => add(from, int(j)));
    return {
      stmts: [barrier, ...keep('few', threads, thread, own), barrier, ...all.stmts],
      state: all.state,
    };
  }
  const per = each / few;
  const lane = laneOf(each);
  const first = gather('parts', threads, per, (j) =>
    monoid.ordered
      ? add(from, add(mul(lane, int(per)), int(j)))
      : add(from, add(lane, int(j * few))),
  );
  const size = Math.max(few, (threads / each) * few);
  const second = gather('sums', size, few, (j) => add(mul(group, int(few)), int(j)));
  return {
    stmts: [
      ...keep('parts', threads, thread, own),
      barrier,
      when(compare('lt', lane, int(few)), [
        ...first.stmts,
        ...keep('sums', size, add(mul(group, int(few)), lane), first.state),
      ]),
      barrier,
      ...second.stmts,
    ],
    state: second.state,
  };
}

/** Neighbours with neighbours, until one is left. */
function inPairs(b: Builder, monoid: Monoid, given: readonly (readonly Expr[])[]): Reduced {
  const stmts: Stmt[] = [];
  const hold = (state: readonly Expr[]): readonly Expr[] =>
    state.map((value) => {
      const { stmt, ref } = named(b.fresh('both'), value);
      stmts.push(stmt);
      return ref;
    });
  let all = given.map(hold);
  while (all.length > 1) {
    all = Array.from({ length: Math.ceil(all.length / 2) }, (_, i) => {
      const [left, right] = [present(all[2 * i]), all[2 * i + 1]];
      return right ? hold(monoid.combine(left, right)) : left;
    });
  }
  return { stmts, state: present(all[0]) };
}

/** Whether the running thread is the first of those that share a reduction. */
export const isFirst = (each: number): Expr =>
  compare('eq', arithmetic('rem', thread, int(each)), int(0));
