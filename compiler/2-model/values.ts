/** Compile-time arithmetic: numbers, truth values, and lists element by element. */
import type { BinaryOp } from '../1-syntax/ast.ts';
import { type Thing, errorThing } from './scope.ts';

const isNumber = (t: Thing): t is Extract<Thing, { kind: 'int' | 'real' }> =>
  t.kind === 'int' || t.kind === 'real';

export const number = (value: number, whole: boolean): Thing => ({
  kind: whole && Number.isInteger(value) ? 'int' : 'real',
  value,
});

/** a op b, or undefined where the operator does not go with them. */
export function binaryValue(op: BinaryOp, a: Thing, b: Thing): Thing | undefined {
  if (a.kind === 'error' || b.kind === 'error') return errorThing;
  if (a.kind === 'list' || b.kind === 'list') return overLists(op, a, b);
  if (isNumber(a) && isNumber(b))
    return overNumbers(op, a.value, b.value, a.kind === 'int' && b.kind === 'int');
  if (a.kind === 'bool' && b.kind === 'bool') {
    if (op === 'and') return { kind: 'bool', value: a.value && b.value };
    if (op === 'or') return { kind: 'bool', value: a.value || b.value };
  }
  const plain = (a.kind === 'bool' || a.kind === 'text') && a.kind === b.kind;
  if (plain && op === '==') return { kind: 'bool', value: a.value === b.value };
  if (plain && op === '!=') return { kind: 'bool', value: a.value !== b.value };
  return undefined;
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

export function negate(t: Thing): Thing | undefined {
  return binaryValue('*', { kind: 'int', value: -1 }, t);
}

const mathOf: Readonly<Record<string, (x: number) => number>> = {
  sqrt: Math.sqrt,
  exp: Math.exp,
  log: Math.log,
  abs: Math.abs,
  floor: Math.floor,
  ceil: Math.ceil,
  round: Math.round,
};

/** A function of compile-time values, or undefined if `name` is none or does not take them. */
export function callValue(name: string, args: readonly Thing[]): Thing | undefined {
  const [a, b] = args;
  if (!a) return undefined;
  if (name === 'iota' && a.kind === 'int' && args.length === 1) {
    return { kind: 'list', items: Array.from({ length: a.value }, (_, i) => number(i, true)) };
  }
  if (name === 'len' && a.kind === 'list' && args.length === 1) {
    return { kind: 'int', value: a.items.length };
  }
  if ((name === 'min' || name === 'max') && b && isNumber(a) && isNumber(b) && args.length === 2) {
    return number(Math[name](a.value, b.value), a.kind === 'int' && b.kind === 'int');
  }
  const f = Object.hasOwn(mathOf, name) ? mathOf[name] : undefined;
  if (f && args.length === 1) {
    if (isNumber(a))
      return number(
        f(a.value),
        name === 'floor' || name === 'ceil' || name === 'round' || a.kind === 'int',
      );
    if (a.kind === 'list' && a.items.every(isNumber)) {
      return { kind: 'list', items: a.items.map((x) => number(f(x.value), false)) };
    }
  }
  return undefined;
}

export const valueFunctions = ['iota', 'len', 'min', 'max', ...Object.keys(mathOf)];
