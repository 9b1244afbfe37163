/** The one table of scalar meaning, in double precision: the interpreters and folding use it. */
import { halfOf, halfToFloat } from '../base/half.ts';
import { CompilerBug, present, unreachable } from '../base/invariant.ts';
import type { ArithmeticOp, CompareOp, Expr, ScalarFn, UnaryOp } from './expr.ts';

export interface ScalarEnv {
  variable(name: string): number;
  at(operand: number, index: readonly number[]): number;
}

/** The value of an expression of op bodies, masks and scores; bool is 0 or 1. */
export function evaluate(e: Expr, env: ScalarEnv): number {
  const go = (x: Expr): number => evaluate(x, env);
  switch (e.op) {
    case 'const':
      return e.value;
    case 'var':
      return env.variable(e.name);
    case 'at':
      return env.at(e.operand, e.index.map(go));
    case 'select':
      return go(e.when) !== 0 ? go(e.a) : go(e.b);
    case 'cast':
      return e.dtype === 'i32' ? saturated(go(e.a)) : go(e.a);
    case 'half':
      return halfToFloat(go(e.a));
    case 'tohalf':
      return halfOf(go(e.a));
    case 'sum': {
      let total = 0;
      for (let k = 0; k < e.extent; k++) {
        const variable = (name: string) => (name === e.index ? k : env.variable(name));
        total += evaluate(e.a, { ...env, variable });
      }
      return total;
    }
    case 'lookup':
      return lookedUp(e.table, go(e.a));
    case 'fma':
      return go(e.a) * go(e.b) + go(e.c);
    case 'splat':
    case 'lane':
      return go(e.a);
    case 'neg':
    case 'abs':
    case 'sqrt':
    case 'floor':
    case 'ceil':
    case 'trunc':
    case 'round':
    case 'exp':
    case 'log':
    case 'sin':
    case 'cos':
    case 'tanh':
    case 'erf':
    case 'not':
      return applyUnary(e.op, go(e.a));
    case 'add':
    case 'sub':
    case 'mul':
    case 'div':
    case 'rem':
    case 'min':
    case 'max':
    case 'and':
    case 'or':
    case 'xor':
    case 'shl':
    case 'shr':
      return applyArithmetic(e.op, go(e.a), go(e.b), e.dtype === 'i32');
    case 'lt':
    case 'le':
    case 'gt':
    case 'ge':
    case 'eq':
    case 'ne':
      return applyCompare(e.op, go(e.a), go(e.b)) ? 1 : 0;
    case 'load':
    case 'bits':
    case 'shuffle':
    case 'dot4':
    case 'dots':
    case 'pairs':
    case 'dot2':
      throw new CompilerBug(`compiler bug: ${e.op} has no meaning outside a kernel`);
    default:
      return unreachable(e);
  }
}

/** The word whose four bytes are the entries of a table that the bytes of `word` number. */
export function lookedUp(table: readonly number[], word: number): number {
  const byte = (bit: number): number => ((table[(word >>> bit) & 15] ?? 0) & 255) << bit;
  return byte(0) | byte(8) | byte(16) | byte(24);
}

/** A real number as a whole one: truncated, held to 32 bits, 0 where it is none. */
export const saturated = (v: number): number =>
  Number.isNaN(v) ? 0 : Math.max(-(2 ** 31), Math.min(2 ** 31 - 1, Math.trunc(v)));

export function applyUnary(op: UnaryOp, x: number): number {
  switch (op) {
    case 'neg':
      return -x;
    case 'abs':
      return Math.abs(x);
    case 'sqrt':
      return Math.sqrt(x);
    case 'floor':
      return Math.floor(x);
    case 'ceil':
      return Math.ceil(x);
    case 'trunc':
      return Math.trunc(x);
    case 'round':
      return roundEven(x);
    case 'exp':
      return Math.exp(x);
    case 'log':
      return Math.log(x);
    case 'sin':
      return Math.sin(x);
    case 'cos':
      return Math.cos(x);
    case 'tanh':
      return Math.tanh(x);
    case 'erf':
      return erf(x);
    case 'not':
      return x === 0 ? 1 : 0;
  }
}

function roundEven(x: number): number {
  const low = Math.floor(x);
  const rest = x - low;
  if (rest !== 0.5) return Math.round(x);
  return low % 2 === 0 ? low : low + 1;
}

/** Series for small x, continued fraction of the complement for large: Abramowitz and Stegun 7.1.5, 7.1.14. */
export function erf(x: number): number {
  const z = Math.abs(x);
  if (z < 2.5) {
    let term = z;
    let sum = z;
    for (let n = 1; n < 80; n++) {
      term *= -(z * z) / n;
      sum += term / (2 * n + 1);
    }
    return Math.sign(x) * (2 / Math.sqrt(Math.PI)) * sum;
  }
  let f = 0;
  for (let n = 60; n > 0; n--) f = n / 2 / (z + f);
  return Math.sign(x) * (1 - Math.exp(-z * z) / (z + f) / Math.sqrt(Math.PI));
}

export function applyArithmetic(op: ArithmeticOp, a: number, b: number, integer: boolean): number {
  switch (op) {
    case 'add':
      return a + b;
    case 'sub':
      return a - b;
    case 'mul':
      return integer ? Math.imul(a, b) : a * b;
    case 'div':
      return integer ? Math.trunc(a / b) : a / b;
    case 'rem':
      return a % b;
    case 'min':
      return Math.min(a, b);
    case 'max':
      return Math.max(a, b);
    case 'and':
      return a & b;
    case 'or':
      return a | b;
    case 'xor':
      return a ^ b;
    case 'shl':
      return a << b;
    case 'shr':
      return a >>> b;
  }
}

export function applyCompare(op: CompareOp, a: number, b: number): boolean {
  switch (op) {
    case 'lt':
      return a < b;
    case 'le':
      return a <= b;
    case 'gt':
      return a > b;
    case 'ge':
      return a >= b;
    case 'eq':
      return a === b;
    case 'ne':
      return a !== b;
  }
}

/** A scalar function at its arguments, by position; `at`: elements of the operands it reads. */
export function evaluateFn(fn: ScalarFn, args: readonly number[], at: ScalarEnv['at']): number {
  const variable = (name: string): number => present(args[fn.params.indexOf(name)], name);
  return evaluate(fn.body, { variable, at });
}
