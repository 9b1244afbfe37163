/** Which functions can be computed for several elements in the lanes of a vector. */
import type { Expr } from './expr.ts';
import { children } from './walk.ts';

const laneOps = new Set<Expr['op']>([
  'const', 'var', 'neg', 'abs', 'sqrt', 'floor', 'ceil', 'trunc', 'round', 'exp', 'log', 'tanh', 'erf',
  'not', 'add', 'sub', 'mul', 'div', 'min', 'max', 'and', 'or', 'xor', 'lt', 'le', 'gt', 'ge', 'eq',
  'ne', 'select', 'cast',
]); // prettier-ignore

/** Whether a function of pairs can be computed for several keys at once. */
export function runsInLanes(e: Expr): boolean {
  if (!laneOps.has(e.op)) return false;
  if (e.dtype === 'bool' && (e.op === 'const' || e.op === 'var')) return false;
  if (e.op === 'div' && e.dtype === 'i32') return false;
  return children(e).every(runsInLanes);
}
