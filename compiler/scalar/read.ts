/** Reads what `print.ts` writes of scalar expressions: those without lanes or loads. */
import { Failure } from '../base/failure.ts';
import {
  type ArithmeticOp,
  type CompareOp,
  type Expr,
  type ScalarFn,
  type ScalarType,
  type UnaryOp,
  arithmeticOps,
  at,
  half,
  lookup,
  sumOver,
  toHalf,
  unaryOps,
} from './expr.ts';
import { boolSigns, compareLevel, numberSigns } from './print.ts';

const compares: ReadonlyMap<string, CompareOp> = new Map([
  ['<', 'lt'],
  ['<=', 'le'],
  ['>', 'gt'],
  ['>=', 'ge'],
  ['==', 'eq'],
  ['!=', 'ne'],
]);

interface Sign {
  readonly op: ArithmeticOp;
  readonly level: number;
}

const signs: ReadonlyMap<string, Sign> = new Map(
  arithmeticOps.flatMap((op) =>
    [boolSigns[op], numberSigns[op]].flatMap((infix): [string, Sign][] =>
      infix ? [[infix.sign, { op, level: infix.level }]] : [],
    ),
  ),
);

const number = /^-?(?:\d+\.\d*(?:e[+-]?\d+)?|\d+(?:e[+-]?\d+)?|Infinity|NaN)d?/;
const token = /^(?:\$\d+i?|<<|>>|<=|>=|==|!=|[A-Za-z_]\w*|\S)/;
const types: readonly ScalarType[] = ['f64', 'f32', 'i32', 'bool'];
const mostDepth = 500;

const bad = (text: string, why: string): never => {
  throw new Failure('scalar/read', `${why} in the expression ${JSON.stringify(text.slice(0, 80))}`);
};

/** `|i, j| j <= i`, with the parameters' types in order. Throws Failure. */
export function readFn(text: string, paramTypes: readonly ScalarType[]): ScalarFn {
  const match = /^\|([^|]*)\| (.*)$/s.exec(text);
  if (!match) return bad(text, 'no parameters');
  const params = (match[1] ?? '').split(',').map((p) => p.trim());
  const names = new Map(params.map((p, i) => [p, paramTypes[i] ?? 'f32']));
  return { params, body: readExpr(match[2] ?? '', names) };
}

/** Throws Failure where the text is no expression over the variables in `names`. */
export function readExpr(text: string, names: ReadonlyMap<string, ScalarType>): Expr {
  let rest = text;
  const bound = new Map(names);
  const skip = (): void => {
    rest = rest.trimStart();
  };
  const peek = (): string => {
    skip();
    return token.exec(rest)?.[0] ?? '';
  };
  const take = (wanted?: string): string => {
    const t = peek();
    if (t === '' || (wanted !== undefined && t !== wanted)) {
      return bad(text, `expected ${wanted ?? 'more'}, found ${t === '' ? 'the end' : t}`);
    }
    rest = rest.slice(t.length);
    return t;
  };
  const e = binary(0, 0);
  skip();
  return rest === '' ? e : bad(text, `unexpected ${peek()}`);

  function binary(level: number, depth: number): Expr {
    if (depth > mostDepth) return bad(text, 'too many levels');
    let a = primary(depth);
    for (;;) {
      const sign = peek();
      const compare = compares.get(sign);
      const arithmetic = signs.get(sign);
      const own = compare ? compareLevel : arithmetic?.level;
      if (own === undefined || own < level) return a;
      take();
      const b = binary(own + 1, depth + 1);
      if (a.dtype !== b.dtype) return bad(text, `${a.dtype} ${sign} ${b.dtype}`);
      if (compare) a = { op: compare, a, b, dtype: 'bool', lanes: 1 };
      else if (arithmetic) a = { op: arithmetic.op, a, b, dtype: a.dtype, lanes: 1 };
    }
  }

  function primary(depth: number): Expr {
    skip();
    const digits = number.exec(rest)?.[0];
    if (digits !== undefined) {
      rest = rest.slice(digits.length);
      return constant(digits);
    }
    const t = take();
    if (t === '(') {
      const inner = binary(0, depth + 1);
      take(')');
      return inner;
    }
    if (t === '-') {
      const a = primary(depth + 1);
      return { op: 'neg', a, dtype: a.dtype, lanes: 1 };
    }
    if (t === 'true' || t === 'false') {
      return { op: 'const', value: t === 'true' ? 1 : 0, dtype: 'bool', lanes: 1 };
    }
    if (t.startsWith('$')) return operand(t, depth);
    if (peek() === '(' && !bound.has(t)) return t === 'sum' ? total(depth) : call(t, depth);
    const dtype = bound.get(t);
    return dtype ? { op: 'var', name: t, dtype, lanes: 1 } : bad(text, `unknown name ${t}`);
  }

  /** `$3[h]`, an element of operand 3; `$3i[h]`, of whole numbers. */
  function operand(sign: string, depth: number): Expr {
    const index: Expr[] = [];
    take('[');
    while (peek() !== ']') {
      if (index.length > 0) take(',');
      index.push(binary(0, depth + 1));
    }
    take(']');
    const whole = sign.endsWith('i');
    return at(Number(sign.slice(1, whole ? -1 : undefined)), index, whole ? 'i32' : 'f32');
  }

  /** `sum(k, 4, body)`. */
  function total(depth: number): Expr {
    take('(');
    const index = take();
    take(',');
    skip();
    const extent = Number(number.exec(rest)?.[0]);
    if (!/^[A-Za-z_]\w*$/.test(index) || !(Number.isSafeInteger(extent) && extent > 0)) {
      return bad(text, 'a sum over no range');
    }
    rest = rest.slice(String(extent).length);
    take(',');
    const had = bound.get(index);
    bound.set(index, 'i32');
    const a = binary(0, depth + 1);
    if (had) bound.set(index, had);
    else bound.delete(index);
    take(')');
    return sumOver(index, extent, a);
  }

  function call(name: string, depth: number): Expr {
    take('(');
    const args: Expr[] = [binary(0, depth + 1)];
    while (peek() === ',') {
      take();
      args.push(binary(0, depth + 1));
    }
    take(')');
    const [a, b, c] = args;
    const count = (n: number): void => {
      if (args.length !== n) bad(text, `${name} takes ${n} operands`);
    };
    if (!a) return bad(text, `${name} without operands`);
    const unary: UnaryOp | undefined = unaryOps.find((op) => op === name);
    if (unary) {
      count(1);
      return { op: unary, a, dtype: a.dtype, lanes: 1 };
    }
    const type = types.find((t) => t === name || name === `bits_${t}`);
    if (type) {
      count(1);
      return { op: name.startsWith('bits_') ? 'bits' : 'cast', a, dtype: type, lanes: 1 };
    }
    if (name === 'half' || name === 'tohalf') {
      count(1);
      return name === 'half' ? half(a) : toHalf(a);
    }
    if (name === 'lookup') {
      count(17);
      const table = args.slice(1).flatMap((x) => (x.op === 'const' ? x.value : []));
      return table.length === 16 ? lookup(a, table) : bad(text, 'a table of what is no number');
    }
    const arithmetic = arithmeticOps.find((op) => op === name);
    if (arithmetic && b) {
      count(2);
      return { op: arithmetic, a, b, dtype: a.dtype, lanes: 1 };
    }
    if (name === 'select' && b && c) {
      return { op: 'select', when: a, a: b, b: c, dtype: b.dtype, lanes: 1 };
    }
    if (name === 'fma' && b && c) return { op: 'fma', a, b, c, dtype: c.dtype, lanes: 1 };
    return bad(text, `unknown function ${name}`);
  }

  function constant(digits: string): Expr {
    const isDouble = digits.endsWith('d');
    const plain = isDouble ? digits.slice(0, -1) : digits;
    const dtype = isDouble ? 'f64' : /^-?\d+$/.test(plain) ? 'i32' : 'f32';
    return { op: 'const', value: Number(plain), dtype, lanes: 1 };
  }
}
