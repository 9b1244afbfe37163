/** Expressions for all threads of a workgroup at once: each becomes a function that fills an array. */
import { Failure } from '../../base/failure.ts';
import { halfOf, halfToFloat } from '../../base/half.ts';
import { invariant, unreachable } from '../../base/invariant.ts';
import {
  applyArithmetic,
  applyCompare,
  applyUnary,
  lookedUp,
  saturated,
} from '../../scalar/eval.ts';
import type { Expr, ExprOf } from '../../scalar/expr.ts';
import { fourProducts, rounded } from '../lane-values.ts';

/** Lane l of thread n is at l * threads + n. */
export type Lanes = Float64Array;
/** Computes for all threads: those that do not run get numbers without meaning. */
export type Values = () => Lanes;

export interface ValueScope {
  readonly threads: number;
  variable(name: string): Lanes;
  /** Loads for the threads that run. */
  load(e: ExprOf<'load'>, index: Values): Values;
}

export function compileValue(e: Expr, scope: ValueScope): Values {
  const size = e.lanes * scope.threads;
  const out = new Float64Array(size);
  const { dtype } = e;
  /** The operand in as many lanes as the result has. */
  const go = (x: Expr): Values => spread(compileValue(x, scope), x.lanes, e.lanes, scope.threads);
  const one = (x: Expr, f: (a: number) => number): Values => {
    const a = go(x);
    return () => {
      const from = a();
      for (let i = 0; i < size; i++) out[i] = rounded(f(from[i] ?? 0), dtype);
      return out;
    };
  };
  const two = (x: Expr, y: Expr, f: (a: number, b: number) => number): Values => {
    const [a, b] = [go(x), go(y)];
    return () => {
      const [left, right] = [a(), b()];
      for (let i = 0; i < size; i++) out[i] = rounded(f(left[i] ?? 0, right[i] ?? 0), dtype);
      return out;
    };
  };
  const three = (
    [x, y, z]: readonly [Expr, Expr, Expr],
    f: (a: number, b: number, c: number) => number,
  ): Values => {
    const [a, b, c] = [go(x), go(y), go(z)];
    return () => {
      const [p, q, r] = [a(), b(), c()];
      for (let i = 0; i < size; i++)
        out[i] = rounded(f(p[i] ?? 0, q[i] ?? 0, r[i] ?? 0), dtype);
      return out;
    };
  };
  switch (e.op) {
    case 'const':
      out.fill(rounded(e.value, dtype));
      return () => out;
    case 'var': {
      const held = scope.variable(e.name);
      return () => held;
    }
    case 'load':
      return scope.load(e, compileValue(e.index, scope));
    case 'splat':
      return go(e.a);
    case 'lane': {
      const a = compileValue(e.a, scope);
      const from = e.lane * scope.threads;
      return () => a().subarray(from, from + scope.threads);
    }
    case 'shuffle': {
      const [a, b] = [compileValue(e.a, scope), compileValue(e.b, scope)];
      return () => {
        const [left, right] = [a(), b()];
        e.pick.forEach((p, lane) => {
          const [from, l] = p < e.a.lanes ? [left, p] : [right, p - e.a.lanes];
          const start = l * scope.threads;
          out.set(from.subarray(start, start + scope.threads), lane * scope.threads);
        });
        return out;
      };
    }
    case 'select':
      return three([e.when, e.a, e.b], (when, a, b) => (when !== 0 ? a : b));
    case 'cast':
      return one(e.a, dtype === 'i32' ? saturated : (a) => a);
    case 'bits': {
      const word = new DataView(new ArrayBuffer(4));
      const [put, get] = [e.a.dtype === 'f32' ? 'setFloat32' : 'setInt32', dtype === 'f32' ? 'getFloat32' : 'getInt32'] as const; // prettier-ignore
      return one(e.a, (a) => {
        word[put](0, a);
        return word[get](0);
      });
    }
    case 'half':
      return one(e.a, halfToFloat);
    case 'tohalf':
      return one(e.a, halfOf);
    case 'lookup':
      return one(e.a, (a) => lookedUp(e.table, a));
    case 'fma':
      return three([e.a, e.b, e.c], (a, b, c) => a * b + c);
    case 'neg': case 'abs': case 'sqrt': case 'floor': case 'ceil': case 'trunc': case 'round':
    case 'exp': case 'log': case 'sin': case 'cos': case 'tanh': case 'erf': case 'not':
      return one(e.a, (a) => applyUnary(e.op, a));
    case 'add':
      return two(e.a, e.b, (a, b) => a + b);
    case 'mul':
      return two(e.a, e.b, dtype === 'i32' ? Math.imul : (a, b) => a * b);
    case 'sub': case 'div': case 'rem': case 'min': case 'max':
    case 'and': case 'or': case 'xor': case 'shl': case 'shr':
      return two(e.a, e.b, (a, b) => applyArithmetic(e.op, a, b, dtype === 'i32'));
    case 'lt': case 'le': case 'gt': case 'ge': case 'eq': case 'ne':
      return two(e.a, e.b, (a, b) => (applyCompare(e.op, a, b) ? 1 : 0));
    case 'dot4': {
      const unsigned = e.variant === 'u8s8';
      return three([e.a, e.b, e.c], (a, b, c) => c + fourProducts(a, b, unsigned));
    }
    case 'dots':
    case 'pairs':
    case 'dot2':
      invariant(false, `${e.op} is for CPUs`);
      break;
    case 'at':
    case 'sum':
      throw new Failure('kernel/expression', `${e.op} has no meaning in a kernel`);
    default:
      return unreachable(e);
  }
} // prettier-ignore

/** One lane as many. */
function spread(of: Values, from: number, to: number, threads: number): Values {
  if (from === to) return of;
  invariant(from === 1, 'operands have one lane, or those of the result');
  const out = new Float64Array(to * threads);
  return () => {
    const a = of();
    for (let lane = 0; lane < to; lane++) out.set(a, lane * threads);
    return out;
  };
}
