/**
 * Functions of pairs (masks, scores) for one query, head and key, as scalars: tensors that they read
 * become loads, sums become loops, and what does not depend on the key is computed once.
 */
import { present } from '../base/invariant.ts';
import { bytesOf } from '../base/type.ts';
import { rowAxisOf, sizeOf } from '../4-partition/classify.ts';
import type { NodeFacts } from '../4-partition/plan.ts';
import {
  type Expr,
  type ExprOf,
  type ScalarFn,
  add,
  int,
  load,
  max,
  min,
  mul,
  variable,
} from '../scalar/expr.ts';
import { children, mapChildren } from '../scalar/walk.ts';
import type { LowerContext } from './context.ts';
import { type Frame, element, typeOf } from './frame.ts';
import type { Stmt } from './kernel.ts';
import { type Linear, constantIndex, indexExpr, loopIndex, opaqueIndex } from './linear.ts';
import { blockEntries, entries, rowOffset, slotStart, stateTile } from './state-rows.ts';
import { letStmt, loop, named, readRegister, registers, store } from './statements.ts';
import { mentions, reduceLanes, simdLanes, vectorize } from './vectorize.ts';

export interface PairScope {
  readonly facts: NodeFacts;
  readonly frame: Frame;
  /** The query's position, the head and how many there are. */
  readonly i: Expr;
  readonly h: Expr;
  readonly heads: number;
  /** Where what does not depend on the key goes: before the loop over keys. */
  readonly before: Stmt[];
  /** What such expressions were named, by their text. */
  readonly held: Map<string, Expr>;
  /** False: sums are not in lanes; threads of a workgroup have a key each. */
  readonly inLanes?: boolean;
}

/** A key: its position, its cache slot, and the scaled product with the query. */
export interface KeyRefs {
  readonly j: Expr;
  readonly slot: Expr;
  readonly s: Expr;
}

export interface PairValue {
  readonly stmts: readonly Stmt[];
  readonly value: Expr;
}

/** Names in the expression of the values that differ from key to key. */
const keyMark = { j: '$j', s: '$s', slot: '$slot' } as const;

/** `fn` with its parameters bound to `roles`, in order. */
export function pairValue(
  ctx: Pick<LowerContext, 'builder'>,
  scope: PairScope,
  fn: ScalarFn,
  roles: readonly ('s' | 'i' | 'j' | 'h')[],
  key?: KeyRefs,
): PairValue {
  const { builder } = ctx;
  const env = new Map<string, Expr>(
    fn.params.map((p, n) => {
      const role = present(roles[n], 'role');
      if (role === 'i') return [p, scope.i];
      if (role === 'h') return [p, scope.h];
      return [p, variable(keyMark[role], role === 's' ? 'f32' : 'i32')];
    }),
  );
  const sumIndices = new Set<string>();
  const resolved = resolve(fn.body, env);
  const stmts: Stmt[] = [];
  const value = lowered(hoisted(resolved), stmts);
  return { stmts, value };

  /** Parameters and operands replaced. */
  function resolve(e: Expr, names: ReadonlyMap<string, Expr>): Expr {
    if (e.op === 'var') return names.get(e.name) ?? e;
    if (e.op === 'sum') {
      const index = builder.fresh(e.index);
      sumIndices.add(index);
      const inner = new Map(names).set(e.index, variable(index));
      return { ...e, index, a: resolve(e.a, inner) };
    }
    const inner = mapChildren(e, (x) => resolve(x, names));
    return inner.op === 'at' ? operand(inner) : inner;
  }

  function operand(e: ExprOf<'at'>): Expr {
    const v = present(scope.facts.node.inputs[e.operand], 'captured operand');
    const { plan } = scope.frame;
    const type = typeOf(plan, v);
    const ownRow = rowAxisOf(type) !== undefined;
    const state = plan.producers.get(v)?.node.state;
    const sizes = type.shape.slice(type.shape.length - e.index.length).map(sizeOf);
    const index = e.index.map((x, n) => inRange(x, present(sizes[n])));
    if (state) {
      const tile = stateTile(builder, plan, present(plan.producers.get(v)));
      const linear = index.map((x) => linearOf(x));
      const slot = variable(keyMark.slot);
      const at = add(slotStart(tile, slot), rowOffset(tile, state.spec.row, linear));
      const value = entries(tile, at);
      if (!tile.codes) return value;
      const head = state.spec.row.length > 1 ? indexExpr(present(linear[0])) : int(0);
      const scale = add(slotStart(tile.codes.scales, slot), mul(head, int(blockEntries)));
      return mul(value, load(tile.codes.scales.tile, scale));
    }
    const linear = index.map((x): Linear => linearOf(x));
    return element(scope.frame, v, ownRow ? [scope.frame.row, ...linear] : linear);
  }

  /** The nearest index inside of an axis, with the test left out where it is inside anyway. */
  function inRange(x: Expr, size: number): Expr {
    if (x.op === 'const') return int(Math.min(Math.max(x.value, 0), size - 1));
    const head = x.op === 'var' && scope.h.op === 'var' && x.name === scope.h.name;
    if (head && scope.heads <= size) return x;
    // A sum runs over the axis that its index picks from.
    if (x.op === 'var' && sumIndices.has(x.name)) return x;
    return max(int(0), min(x, int(size - 1)));
  }

  /** The largest parts that are the same for all keys, named before the loop over them. */
  function hoisted(e: Expr): Expr {
    if (e.op === 'const' || e.op === 'var') return e;
    if (!variesByKey(e) && !mentionsSumIndex(e)) {
      const text = JSON.stringify(e);
      const had = scope.held.get(text);
      if (had) return had;
      const { stmt, ref } = named(builder.fresh('held'), lowered(e, scope.before));
      scope.before.push(stmt);
      scope.held.set(text, ref);
      return ref;
    }
    return mapChildren(e, hoisted);
  }

  function variesByKey(e: Expr): boolean {
    return Object.values(keyMark).some((name) => mentions(e, name));
  }

  /** A part of a sum cannot leave it. */
  function mentionsSumIndex(e: Expr, inside: ReadonlySet<string> = new Set()): boolean {
    if (e.op === 'var') return sumIndices.has(e.name) && !inside.has(e.name);
    const bound = e.op === 'sum' ? new Set(inside).add(e.index) : inside;
    return children(e).some((c) => mentionsSumIndex(c, bound));
  }

  /** Sums as loops before the statement that reads them, and the key's own values. */
  function lowered(e: Expr, out: Stmt[]): Expr {
    if (e.op === 'var') {
      if (e.name === keyMark.j) return present(key, 'a key').j;
      if (e.name === keyMark.s) return present(key, 'a key').s;
      return e.name === keyMark.slot ? present(key, 'a key').slot : e;
    }
    if (e.op === 'sum') return total(e, out);
    return mapChildren(e, (x) => lowered(x, out));
  }

  /** Lanes are loaded from elements of 32 bits only. */
  function isWordy(e: Expr): boolean {
    const tile = e.op === 'load' ? builder.params.find((p) => p.name === e.tile) : undefined;
    return (!tile || bytesOf[tile.dtype] === 4) && children(e).every(isWordy);
  }

  function total(e: ExprOf<'sum'>, out: Stmt[]): Expr {
    const inner: Stmt[] = [];
    const body = lowered(e.a, inner);
    const dtype = e.dtype === 'i32' ? 'i32' : 'f32';
    const acc = builder.fresh('acc');
    const full = Math.floor(e.extent / simdLanes) * simdLanes;
    const wide =
      scope.inLanes !== false && inner.length === 0 && full > 0 && dtype === 'f32' && isWordy(body)
        ? vectorize(body, e.index, (hint) => builder.fresh(hint))
        : undefined;
    const result = builder.fresh('sum');
    if (!wide) {
      out.push(registers(acc, 1, 1, dtype));
      out.push(
        loop(e.index, 0, e.extent, [
          ...inner,
          store(acc, 0, add(readRegister(acc, 0, 1, dtype), body)),
        ]),
      );
      out.push(letStmt(result, readRegister(acc, 0, 1, dtype)));
      return variable(result, dtype);
    }
    const lanes = builder.fresh('lanes');
    const sums = variable(lanes, 'f32', simdLanes);
    out.push(
      ...wide.hoisted.map((x) => letStmt(x.name, x.value)),
      registers(acc, 1, simdLanes),
      loop(
        e.index,
        0,
        full,
        [store(acc, 0, add(readRegister(acc, 0, simdLanes), wide.value))],
        'vector',
        simdLanes,
      ),
      letStmt(lanes, readRegister(acc, 0, simdLanes)),
    );
    if (full === e.extent) {
      out.push(letStmt(result, reduceLanes(sums, add)));
      return variable(result, 'f32');
    }
    const rest = builder.fresh('acc');
    out.push(
      registers(rest, 1, 1),
      store(rest, 0, reduceLanes(sums, add)),
      loop(e.index, full, e.extent, [store(rest, 0, add(readRegister(rest, 0, 1), body))]),
      letStmt(result, readRegister(rest, 0, 1)),
    );
    return variable(result, 'f32');
  }
}

function linearOf(x: Expr): Linear {
  if (x.op === 'const') return constantIndex(x.value);
  return x.op === 'var' ? loopIndex(x.name, Infinity) : opaqueIndex(JSON.stringify(x), x);
}
