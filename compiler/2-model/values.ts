/** Compile-time arithmetic: numbers, truth values, and lists element by element. */
import {
  addDim,
  constantDim,
  mulDim,
  quotientDim,
  sameDim,
  showDim,
  subDim,
  symbol,
} from '../base/dim.ts';
import type { Dim } from '../base/dim.ts';
import { present } from '../base/invariant.ts';
import { sameType } from '../base/type.ts';
import type { BinaryOp, TypeAst } from '../1-syntax/ast.ts';
import type { TypedExpr } from './model.ts';
import { type Thing, errorThing } from './scope.ts';

type NumberThing = Extract<Thing, { kind: 'int' | 'real' }>;

const isNumber = (t: Thing): t is NumberThing => t.kind === 'int' || t.kind === 'real';

export const number = (value: number, whole: boolean): Thing => ({
  kind: whole && Number.isSafeInteger(value) ? 'int' : 'real',
  value,
});

const isComparison = (op: BinaryOp): boolean => ['<', '<=', '>', '>=', '==', '!='].includes(op);

/** a op b, or undefined where the operator does not go with them. */
export function binaryValue(op: BinaryOp, a: Thing, b: Thing): Thing | undefined {
  if (a.kind === 'error' || b.kind === 'error') return errorThing;
  if (isUnknown(a) || isUnknown(b)) return overUnknown(op, a, b);
  if (a.kind === 'list' || b.kind === 'list') return overLists(op, a, b);
  if (isNumber(a) && isNumber(b)) {
    return overNumbers(op, a.value, b.value, a.kind === 'int' && b.kind === 'int');
  }
  if (a.kind === 'bool' && b.kind === 'bool') {
    if (op === 'and') return { kind: 'bool', value: a.value && b.value };
    if (op === 'or') return { kind: 'bool', value: a.value || b.value };
  }
  const plain = (a.kind === 'bool' || a.kind === 'text') && a.kind === b.kind;
  if (plain && op === '==') return { kind: 'bool', value: a.value === b.value };
  if (plain && op === '!=') return { kind: 'bool', value: a.value !== b.value };
  return undefined;
}

const isUnknown = (t: Thing): boolean => t.kind === 'dim' || t.kind === 'open';

/** Sizes keep their polynomial; everything else that is unknown keeps at most its type. */
function overUnknown(op: BinaryOp, a: Thing, b: Thing): Thing | undefined {
  const [x, y] = [dimOfThing(a), dimOfThing(b)];
  if (x !== undefined && y !== undefined && !isComparison(op)) return overDims(op, x, y);
  const known = [a, b].find((t) => !isUnknown(t));
  if (known && !['int', 'real', 'bool', 'text', 'list'].includes(known.kind)) return undefined;
  if (isComparison(op) || op === 'and' || op === 'or') return openOf('bool');
  if (op === '@') return undefined;
  return { kind: 'open', type: undefined };
}

export function openOf(name: string): Thing {
  const span = { source: { file: '', text: name, line: 1, column: 1 }, start: 0, end: name.length };
  const type: TypeAst = { kind: 'name', name: { text: name, span } };
  return { kind: 'open', type };
}

const dimOfThing = (t: Thing): Dim | undefined =>
  t.kind === 'dim' ? t.dim : t.kind === 'int' ? t.value : undefined;

/** Quotients and powers that are no polynomial become symbols of their own text. */
function overDims(op: BinaryOp, a: Dim, b: Dim): Thing | undefined {
  switch (op) {
    case '+':
      return dimThing(addDim(a, b));
    case '-':
      return dimThing(subDim(a, b));
    case '*':
      return dimThing(mulDim(a, b));
    case '/':
      return dimThing(quotientDim(a, b));
    case '%':
    case '^':
      return dimThing(symbol(`(${showDim(a)}) ${op} (${showDim(b)})`));
    default:
      return undefined;
  }
}

export function dimThing(dim: Dim): Thing {
  const value = constantDim(dim);
  return value === undefined ? { kind: 'dim', dim } : number(value, true);
}

function overNumbers(op: BinaryOp, a: number, b: number, whole: boolean): Thing | undefined {
  switch (op) {
    case '+':
      return number(a + b, whole);
    case '-':
      return number(a - b, whole);
    case '*':
      return number(a * b, whole);
    case '/':
      return number(a / b, whole);
    case '%':
      return number(a % b, whole);
    case '^':
      return number(a ** b, whole && b >= 0);
    case '<':
      return { kind: 'bool', value: a < b };
    case '<=':
      return { kind: 'bool', value: a <= b };
    case '>':
      return { kind: 'bool', value: a > b };
    case '>=':
      return { kind: 'bool', value: a >= b };
    case '==':
      return { kind: 'bool', value: a === b };
    case '!=':
      return { kind: 'bool', value: a !== b };
    case 'and':
    case 'or':
    case '@':
      return undefined;
  }
}

function overLists(op: BinaryOp, a: Thing, b: Thing): Thing | undefined {
  const length = a.kind === 'list' ? a.items.length : b.kind === 'list' ? b.items.length : 0;
  if (a.kind === 'list' && b.kind === 'list' && a.items.length !== b.items.length) return undefined;
  const items: Thing[] = [];
  for (let i = 0; i < length; i++) {
    const x = a.kind === 'list' ? a.items[i] : a;
    const y = b.kind === 'list' ? b.items[i] : b;
    const item = x && y ? binaryValue(op, x, y) : undefined;
    if (!item) return undefined;
    items.push(item);
  }
  return { kind: 'list', items };
}

export const negate = (t: Thing): Thing | undefined =>
  binaryValue('*', { kind: 'int', value: -1 }, t);

const mathOf: Readonly<Record<string, (x: number) => number>> = {
  sqrt: Math.sqrt,
  exp: Math.exp,
  log: Math.log,
  abs: Math.abs,
  floor: Math.floor,
  ceil: Math.ceil,
  round: Math.round,
};
const wholeResults = ['floor', 'ceil', 'round'];

/** Longest list that `iota` makes: beyond any published table of frequencies or layers. */
const mostItems = 1 << 17;

/** A function of compile-time values, or undefined if `name` is none or does not take them. */
export function callValue(name: string, args: readonly Thing[]): Thing | undefined {
  const [a, b] = args;
  if (!a || !valueFunctions.includes(name)) return undefined;
  if (args.some(isUnknown)) return openCall(name, args);
  if (args.length === 2) {
    if ((name !== 'min' && name !== 'max') || !b || !isNumber(a) || !isNumber(b)) return undefined;
    return number(Math[name](a.value, b.value), a.kind === 'int' && b.kind === 'int');
  }
  if (args.length !== 1) return undefined;
  if (name === 'len') {
    return a.kind === 'list' ? { kind: 'int', value: a.items.length } : undefined;
  }
  if (name === 'iota') {
    if (a.kind !== 'int' || a.value < 0 || a.value > mostItems) return undefined;
    return { kind: 'list', items: Array.from({ length: a.value }, (_, i) => number(i, true)) };
  }
  const f = Object.hasOwn(mathOf, name) ? mathOf[name] : undefined;
  if (!f) return undefined;
  if (isNumber(a)) return number(f(a.value), wholeResults.includes(name));
  if (a.kind !== 'list' || !a.items.every(isNumber)) return undefined;
  return { kind: 'list', items: a.items.map((x) => number(f(x.value), false)) };
}

function openCall(name: string, args: readonly Thing[]): Thing | undefined {
  const known = args.every((t) => isUnknown(t) || isNumber(t) || t.kind === 'list');
  return known ? { kind: 'open', type: undefined } : undefined;
}

export const valueFunctions: readonly string[] = [
  'iota',
  'len',
  'min',
  'max',
  ...Object.keys(mathOf),
];

/** What a name is where the ways to it differ: the same on all of them, or not to be spoken of. */
export function agreed(a: Thing | undefined, b: Thing | undefined): Thing {
  if (!a || !b || a === b) return a ?? b ?? errorThing;
  if (a.kind === 'tensor' && b.kind === 'tensor') {
    return sameTypes(a.expr, b.expr) ? a : errorThing;
  }
  if (a.kind === 'dim' && b.kind === 'dim' && sameDim(a.dim, b.dim)) return a;
  return isValue(a) && isValue(b) ? { kind: 'open', type: undefined } : errorThing;
}

const isValue = (t: Thing): boolean =>
  t.kind !== 'tensor' && t.kind !== 'part' && t.kind !== 'error';

const sameTypes = (a: TypedExpr, b: TypedExpr): boolean =>
  a.types.length === b.types.length && a.types.every((t, i) => sameType(t, present(b.types[i])));
