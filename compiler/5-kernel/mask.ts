/** What a mask says about how far back a token may look. */
import { applyCompare } from '../scalar/eval.ts';
import type { Expr, ScalarFn } from '../scalar/expr.ts';

/**
 * The largest number of last entries that `mask` |i, j, ..| can let a token see, if it bounds
 * i - j from above: entries of a sequence stand at strictly increasing positions, so entry e of n
 * stands at least n-1-e before the token, and may be left out where that is too far. Undefined if
 * the mask gives no bound.
 */
export function maskReach(mask: ScalarFn): number | undefined {
  const [i, j] = mask.params;
  if (i === undefined || j === undefined) return undefined;
  const terms = (e: Expr): Terms | undefined => termsOf(e, i, j);
  return reach(mask.body);

  function reach(e: Expr): number | undefined {
    if (e.op === 'and') {
      const bounds = [reach(e.a), reach(e.b)].filter((x) => x !== undefined);
      return bounds.length === 0 ? undefined : Math.min(...bounds);
    }
    if (e.op === 'or') {
      const [a, b] = [reach(e.a), reach(e.b)];
      return a === undefined || b === undefined ? undefined : Math.max(a, b);
    }
    switch (e.op) {
      case 'lt':
      case 'le': {
        const most = distance(e.a, e.b);
        return most === undefined ? undefined : e.op === 'lt' ? most : most + 1;
      }
      case 'gt':
      case 'ge': {
        const most = distance(e.b, e.a);
        return most === undefined ? undefined : e.op === 'gt' ? most : most + 1;
      }
      default:
        return undefined;
    }
  }

  /** w such that low < high means i - j < w. */
  function distance(low: Expr, high: Expr): number | undefined {
    const a = terms(low);
    const b = terms(high);
    if (!a || !b) return undefined;
    const onI = a.i - b.i;
    const onJ = a.j - b.j;
    return onI === 1 && onJ === -1 ? b.constant - a.constant : undefined;
  }
}

/** True if the mask lets every token see itself, as far as its comparisons of positions say. */
export function seesItself(mask: ScalarFn): boolean {
  const [i, j] = mask.params;
  if (i === undefined || j === undefined) return false;
  return sees(mask.body);

  function sees(e: Expr): boolean {
    if (e.op === 'and') return sees(e.a) && sees(e.b);
    if (e.op === 'or') return sees(e.a) || sees(e.b);
    if (e.op !== 'lt' && e.op !== 'le' && e.op !== 'gt' && e.op !== 'ge') return false;
    const [a, b] = [termsOf(e.a, i ?? '', j ?? ''), termsOf(e.b, i ?? '', j ?? '')];
    if (!a || !b || a.i + a.j !== b.i + b.j) return false;
    return applyCompare(e.op, a.constant, b.constant);
  }
}

interface Terms {
  readonly i: number;
  readonly j: number;
  readonly constant: number;
}

/** e as x * i + y * j + constant. */
function termsOf(e: Expr, i: string, j: string): Terms | undefined {
  switch (e.op) {
    case 'const':
      return { i: 0, j: 0, constant: e.value };
    case 'var':
      if (e.name === i) return { i: 1, j: 0, constant: 0 };
      if (e.name === j) return { i: 0, j: 1, constant: 0 };
      return undefined;
    case 'cast':
      return termsOf(e.a, i, j);
    case 'add':
    case 'sub': {
      const [a, b] = [termsOf(e.a, i, j), termsOf(e.b, i, j)];
      if (!a || !b) return undefined;
      const sign = e.op === 'add' ? 1 : -1;
      return {
        i: a.i + sign * b.i,
        j: a.j + sign * b.j,
        constant: a.constant + sign * b.constant,
      };
    }
    default:
      return undefined;
  }
}
