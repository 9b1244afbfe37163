/** Walking and rebuilding expressions. */
import { unreachable } from '../base/invariant.ts';
import type { Expr } from './expr.ts';

/** Direct subexpressions, in the order in which `mapChildren` visits them. */
export function children(e: Expr): readonly Expr[] {
  switch (e.op) {
    case 'const':
    case 'var':
      return [];
    case 'at':
      return e.index;
    case 'load':
      return [e.index];
    case 'select':
      return [e.when, e.a, e.b];
    case 'fma':
    case 'dot4':
    case 'dot2':
      return [e.a, e.b, e.c];
    case 'dots':
      return [...e.left, ...e.right, e.c];
    case 'neg': case 'abs': case 'sqrt': case 'floor': case 'ceil': case 'trunc': case 'round':
    case 'exp': case 'log': case 'sin': case 'cos': case 'tanh': case 'erf': case 'not':
    case 'cast': case 'bits': case 'splat': case 'lane': case 'sum':
    case 'half': case 'tohalf': case 'lookup': case 'pairs':
      return [e.a];
    case 'add': case 'sub': case 'mul': case 'div': case 'rem': case 'min': case 'max':
    case 'and': case 'or': case 'xor': case 'shl': case 'shr':
    case 'lt': case 'le': case 'gt': case 'ge': case 'eq': case 'ne':
    case 'shuffle':
      return [e.a, e.b];
    default:
      return unreachable(e);
  }
} // prettier-ignore

/** The expression with every direct subexpression replaced; the same object if none changed. */
export function mapChildren(e: Expr, f: (child: Expr) => Expr): Expr {
  switch (e.op) {
    case 'const':
    case 'var':
      return e;
    case 'at': {
      const index = e.index.map(f);
      return index.every((x, i) => x === e.index[i]) ? e : { ...e, index };
    }
    case 'load': {
      const index = f(e.index);
      return index === e.index ? e : { ...e, index };
    }
    case 'select': {
      const [when, a, b] = [f(e.when), f(e.a), f(e.b)];
      return when === e.when && a === e.a && b === e.b ? e : { ...e, when, a, b };
    }
    case 'fma':
    case 'dot4':
    case 'dot2': {
      const [a, b, c] = [f(e.a), f(e.b), f(e.c)];
      return a === e.a && b === e.b && c === e.c ? e : { ...e, a, b, c };
    }
    case 'dots': {
      const [left, right, c] = [e.left.map(f), e.right.map(f), f(e.c)];
      const same = [...left, ...right].every((x, i) => x === [...e.left, ...e.right][i]);
      return same && c === e.c ? e : { ...e, left, right, c };
    }
    case 'neg': case 'abs': case 'sqrt': case 'floor': case 'ceil': case 'trunc': case 'round':
    case 'exp': case 'log': case 'sin': case 'cos': case 'tanh': case 'erf': case 'not':
    case 'cast': case 'bits': case 'splat': case 'lane': case 'sum':
    case 'half': case 'tohalf': case 'lookup': case 'pairs': {
      const a = f(e.a);
      return a === e.a ? e : { ...e, a };
    }
    case 'add': case 'sub': case 'mul': case 'div': case 'rem': case 'min': case 'max':
    case 'and': case 'or': case 'xor': case 'shl': case 'shr':
    case 'lt': case 'le': case 'gt': case 'ge': case 'eq': case 'ne':
    case 'shuffle': {
      const [a, b] = [f(e.a), f(e.b)];
      return a === e.a && b === e.b ? e : { ...e, a, b };
    }
    default:
      return unreachable(e);
  }
} // prettier-ignore
