/**
 * Scalar expressions as text, with parentheses only where needed. What occurs in attributes of a
 * graph (no lanes, no loads) reads back with `readExpr`.
 */
import { unreachable } from '../base/invariant.ts';
import type { ArithmeticOp, CompareOp, Expr, ExprOf, ScalarFn } from './expr.ts';

interface Infix {
  readonly sign: string;
  readonly level: number;
}

const compareSigns: Readonly<Record<CompareOp, string>> = {
  lt: '<',
  le: '<=',
  gt: '>',
  ge: '>=',
  eq: '==',
  ne: '!=',
};

/** Infix signs by op, for bools and for numbers; ops without one print as calls. */
export const boolSigns: Readonly<Partial<Record<ArithmeticOp, Infix>>> = {
  or: { sign: 'or', level: 1 },
  and: { sign: 'and', level: 2 },
};
export const numberSigns: Readonly<Partial<Record<ArithmeticOp, Infix>>> = {
  or: { sign: '|', level: 4 },
  xor: { sign: '^', level: 5 },
  and: { sign: '&', level: 6 },
  shl: { sign: '<<', level: 7 },
  shr: { sign: '>>', level: 7 },
  add: { sign: '+', level: 8 },
  sub: { sign: '-', level: 8 },
  mul: { sign: '*', level: 9 },
  div: { sign: '/', level: 9 },
  rem: { sign: '%', level: 9 },
};
export const compareLevel = 3;
const tight = 10;

export const printFn = (fn: ScalarFn): string => `|${fn.params.join(', ')}| ${printExpr(fn.body)}`;

/** `level`: what stands around binds that tightly. */
export function printExpr(e: Expr, level = 0): string {
  const infix = (sign: string, own: number, a: Expr, b: Expr): string => {
    const text = `${printExpr(a, own)} ${sign} ${printExpr(b, own + 1)}`;
    return own < level ? `(${text})` : text;
  };
  const call = (name: string, ...args: readonly (Expr | string)[]): string =>
    `${name}(${args.map((a) => (typeof a === 'string' ? a : printExpr(a))).join(', ')})`;
  switch (e.op) {
    case 'const':
      return printConst(e);
    case 'var':
      return e.name;
    case 'at':
      return `$${e.operand}${e.dtype === 'i32' ? 'i' : ''}[${e.index.map((i) => printExpr(i)).join(', ')}]`;
    case 'sum':
      return call('sum', e.index, String(e.extent), e.a);
    case 'load':
      return `${e.tile}[${printExpr(e.index)}${e.lanes > 1 ? ` : ${e.lanes}` : ''}]`;
    case 'neg':
      return e.a.op === 'const' ? call('neg', e.a) : `-${printExpr(e.a, tight)}`;
    case 'not':
      return call('not', e.a);
    case 'abs': case 'sqrt': case 'floor': case 'ceil': case 'trunc': case 'round':
    case 'exp': case 'log': case 'sin': case 'cos': case 'tanh': case 'erf':
      return call(e.op, e.a);
    case 'add': case 'sub': case 'mul': case 'div': case 'rem': case 'min': case 'max':
    case 'and': case 'or': case 'xor': case 'shl': case 'shr': {
      const sign = (e.dtype === 'bool' ? boolSigns : numberSigns)[e.op];
      return sign ? infix(sign.sign, sign.level, e.a, e.b) : call(e.op, e.a, e.b);
    }
    case 'lt': case 'le': case 'gt': case 'ge': case 'eq': case 'ne':
      return infix(compareSigns[e.op], compareLevel, e.a, e.b);
    case 'select':
      return call('select', e.when, e.a, e.b);
    case 'cast':
      return call(e.dtype, e.a);
    case 'bits':
      return call(`bits_${e.dtype}`, e.a);
    case 'half': case 'tohalf':
      return call(e.op, e.a);
    case 'fma':
      return call('fma', e.a, e.b, e.c);
    case 'splat':
      return call(`splat${e.lanes}`, e.a);
    case 'lane':
      return call('lane', e.a, String(e.lane));
    case 'shuffle':
      return call('shuffle', e.a, e.b, `[${e.pick.join(', ')}]`);
    case 'lookup':
      return call(e.op, e.a, ...e.table.map(String));
    case 'dot4':
      return call(`dot4_${e.variant}`, e.a, e.b, e.c);
    case 'dots': {
      const list = (all: readonly Expr[]): string => `[${all.map((x) => printExpr(x)).join(', ')}]`;
      return call('dots', list(e.left), list(e.right), e.c, String(e.most));
    }
    case 'pairs':
      return call(`pairs_${e.from}_${e.signed ? 's' : 'u'}`, e.a);
    case 'dot2':
      return call('dot2', e.a, e.b, e.c);
    default:
      return unreachable(e);
  }
} // prettier-ignore

/** Integers without a point, reals with one or an exponent, so that the text says the type. */
function printConst({ value, dtype, lanes }: ExprOf<'const'>): string {
  const text = ((): string => {
    if (dtype === 'bool') return value === 0 ? 'false' : 'true';
    if (dtype === 'i32') return String(value);
    const digits = Object.is(value, -0) ? '-0' : String(value);
    const real = /^-?\d+$/.test(digits) ? `${digits}.0` : digits;
    return dtype === 'f64' ? `${real}d` : real;
  })();
  return lanes > 1 ? `splat${lanes}(${text})` : text;
}
