/** Expressions as WGSL. */
import { invariant, unreachable } from '../base/invariant.ts';
import type { Expr, ExprOf, ScalarType } from '../scalar/expr.ts';
import type { Helper } from './wgsl-helpers.ts';

export interface ExprContext {
  /** The name of a function that WGSL lacks; asking for it puts it into the module. */
  helper(helper: Helper, lanes: number): string;
  /** The same for a table of sixteen bytes. */
  table(entries: readonly number[], lanes: number): string;
  name(name: string): string;
  load(e: ExprOf<'load'>): string;
}

export function typeText(dtype: ScalarType, lanes: number): string {
  invariant(dtype !== 'f64', 'WGSL has no double precision');
  return lanes === 1 ? dtype : `vec${lanes}<${dtype}>`;
}

/** A number as f32; WGSL has no literal for those that are not finite. */
function floatText(value: number): string {
  if (Number.isNaN(value)) return 'bitcast<f32>(sizes.infinity | 0x400000u)';
  if (value === Infinity) return 'bitcast<f32>(sizes.infinity)';
  if (value === -Infinity) return '(-bitcast<f32>(sizes.infinity))';
  const text = Object.is(value, -0) ? '-0' : String(Math.fround(value));
  const whole = /^-?\d+$/.test(text) ? `${text}.0` : text;
  return whole.startsWith('-') ? `(${whole})` : whole;
}

export const intText = (value: number): string => (value < 0 ? `(${value})` : String(value));

function constText(e: ExprOf<'const'>): string {
  const one =
    e.dtype === 'f32'
      ? floatText(e.value)
      : e.dtype === 'bool'
        ? String(e.value !== 0)
        : intText(e.value);
  return e.lanes === 1 ? one : `${typeText(e.dtype, e.lanes)}(${one})`;
}

const infix = {
  add: '+', sub: '-', mul: '*', div: '/', rem: '%', and: '&', or: '|', xor: '^', shl: '<<',
  lt: '<', le: '<=', gt: '>', ge: '>=', eq: '==', ne: '!=',
} as const; // prettier-ignore

/** `top`: nothing stands beside it, so that it needs no parentheses. */
export function emitExpr(c: ExprContext, e: Expr, top = false): string {
  const go = (x: Expr): string => emitExpr(c, x);
  const bare = (x: Expr): string => emitExpr(c, x, true);
  const wrap = (text: string): string => (top ? text : `(${text})`);
  /** With as many lanes as the whole has. */
  const wide = (x: Expr, inner: (x: Expr) => string = go): string =>
    x.lanes === e.lanes ? inner(x) : `${typeText(x.dtype, e.lanes)}(${bare(x)})`;
  switch (e.op) {
    case 'const':
      return constText(e);
    case 'var':
      return c.name(e.name);
    case 'load':
      return c.load(e);
    case 'splat':
      return `${typeText(e.dtype, e.lanes)}(${bare(e.a)})`;
    case 'lane':
      return e.a.lanes === 1 ? go(e.a) : `${go(e.a)}.${'xyzw'[e.lane] ?? ''}`;
    case 'select':
      return `select(${wide(e.b, bare)}, ${wide(e.a, bare)}, ${wide(e.when, bare)})`;
    case 'cast':
      return `${typeText(e.dtype, e.lanes)}(${bare(e.a)})`;
    case 'bits':
      // What is known while compiling may be no finite number, which WGSL takes for a mistake.
      return e.a.op === 'const'
        ? constText({ ...e, op: 'const', value: bitsOf(e.a.value, e.a.dtype, e.dtype) })
        : `bitcast<${typeText(e.dtype, e.lanes)}>(${bare(e.a)})`;
    case 'fma':
      return `fma(${wide(e.a, bare)}, ${wide(e.b, bare)}, ${wide(e.c, bare)})`;
    case 'dot4': {
      const name = c.helper(e.variant, e.lanes);
      return wrap(`${wide(e.c)} + ${name}(${wide(e.a, bare)}, ${wide(e.b, bare)})`);
    }
    case 'lookup':
      return `${c.table(e.table, e.lanes)}(${bare(e.a)})`;
    case 'not':
      return `!${go(e.a)}`;
    case 'neg':
      return wrap(`-${go(e.a)}`);
    case 'abs':
    case 'sqrt':
    case 'floor':
    case 'ceil':
    case 'trunc':
    case 'round':
    case 'exp':
    case 'log':
      return `${e.op}(${bare(e.a)})`;
    case 'half':
    case 'tohalf':
    case 'sin':
    case 'cos':
    case 'tanh':
    case 'erf':
      return `${c.helper(e.op, e.lanes)}(${bare(e.a)})`;
    case 'min':
    case 'max':
      return `${e.op}(${wide(e.a, bare)}, ${wide(e.b, bare)})`;
    case 'shr':
      return `${c.helper('shr', e.lanes)}(${wide(e.a, bare)}, ${shiftText(c, e.b, e.lanes)})`;
    case 'shl':
      return wrap(`${wide(e.a)} << ${shiftText(c, e.b, e.lanes)}`);
    case 'xor':
      return wrap(`${wide(e.a)} ${e.dtype === 'bool' ? '!=' : '^'} ${wide(e.b)}`);
    case 'add':
    case 'sub':
    case 'mul':
    case 'div':
    case 'rem':
    case 'and':
    case 'or':
    case 'lt':
    case 'le':
    case 'gt':
    case 'ge':
    case 'eq':
    case 'ne':
      return wrap(`${wide(e.a)} ${infix[e.op]} ${wide(e.b)}`);
    case 'shuffle':
    case 'dots':
    case 'pairs':
    case 'dot2':
      invariant(false, `${e.op} is for CPUs`);
      break;
    case 'at':
    case 'sum':
      invariant(false, 'operands are resolved before printing');
      break;
    default:
      return unreachable(e);
  }
}

/** Amounts of shifts are unsigned, one for each lane. */
function shiftText(c: ExprContext, b: Expr, lanes: number): string {
  const one = b.op === 'const' ? `${b.value}u` : undefined;
  const type = lanes === 1 ? 'u32' : `vec${lanes}<u32>`;
  if (one !== undefined && lanes === 1) return one;
  return `${type}(${one ?? emitExpr(c, b, true)})`;
}

function bitsOf(value: number, from: ScalarType, to: ScalarType): number {
  const view = new DataView(new ArrayBuffer(4));
  if (from === 'f32') view.setFloat32(0, value);
  else view.setInt32(0, value);
  return to === 'f32' ? view.getFloat32(0) : view.getInt32(0);
}
