/**
 * The scalar expression language: bodies of ops, masks and scores of attention, and the expressions
 * of kernels are made of it. Expressions are pure trees; evaluation order never matters.
 *
 * An expression has an element type and a number of lanes (1: a scalar; more: a vector). `at` occurs
 * only in op bodies, `load`, lane operations and products of bytes or pairs only in
 * kernels.
 */
export type ScalarType = 'f64' | 'f32' | 'i32' | 'bool';

/** How a `dot4` reads its two sets of four bytes, after the instructions that exist. */
export type Dot4 = 'u8s8' | 's8s8' | 'i8i7';

// Number to number, the same type; `math` ones are approximated on targets that lack them.
export const unaryOps = [
  'neg', 'abs', 'sqrt', 'floor', 'ceil', 'trunc', 'round', // round: half to even
  'exp', 'log', 'sin', 'cos', 'tanh', 'erf',
  'not', // bool
] as const; // prettier-ignore
export type UnaryOp = (typeof unaryOps)[number];

export const arithmeticOps = [
  'add', 'sub', 'mul', 'div', 'rem', 'min', 'max', // div and rem of i32 truncate; operands are never negative
  'and', 'or', 'xor', 'shl', 'shr', // i32 bits (shr: unsigned), and/or also bool
] as const; // prettier-ignore
export type ArithmeticOp = (typeof arithmeticOps)[number];

export const compareOps = ['lt', 'le', 'gt', 'ge', 'eq', 'ne'] as const;
export type CompareOp = (typeof compareOps)[number];

interface Base {
  readonly dtype: ScalarType;
  readonly lanes: number;
}

export type Expr =
  | (Base & { readonly op: 'const'; readonly value: number })
  | (Base & { readonly op: 'var'; readonly name: string })
  /**
   * Op bodies and functions of pairs only: an element of an operand, one index per axis; in a
   * function of pairs an operand of rows has none for its row, which is the pair's.
   */
  | (Base & { readonly op: 'at'; readonly operand: number; readonly index: readonly Expr[] })
  /** Functions of pairs only: the sum of `a` over `index` from 0 to extent-1, at least one term. */
  | (Base & {
      readonly op: 'sum';
      readonly index: string;
      readonly extent: number;
      readonly a: Expr;
    })
  /** Kernels only: `lanes` consecutive elements of a tile from the linear element index on. */
  | (Base & { readonly op: 'load'; readonly tile: string; readonly index: Expr })
  | (Base & { readonly op: UnaryOp; readonly a: Expr })
  | (Base & { readonly op: ArithmeticOp; readonly a: Expr; readonly b: Expr })
  | (Base & { readonly op: CompareOp; readonly a: Expr; readonly b: Expr })
  | (Base & { readonly op: 'select'; readonly when: Expr; readonly a: Expr; readonly b: Expr })
  /** Conversion of the value (i32 to f32 rounds to nearest even; f32 to i32 truncates, saturating). */
  | (Base & { readonly op: 'cast'; readonly a: Expr })
  /** The same bits under another type of the same width (f32 and i32). */
  | (Base & { readonly op: 'bits'; readonly a: Expr })
  /** The f16 in the low 16 bits of an i32, as the f32 that equals it. */
  | (Base & { readonly op: 'half'; readonly a: Expr })
  /** Bits of the f16 nearest to an f32, in an i32: ties to even, past the largest infinity. */
  | (Base & { readonly op: 'tohalf'; readonly a: Expr })
  /** a * b + c; whether it rounds once or twice is the target variant's, the same for all of a program. */
  | (Base & { readonly op: 'fma'; readonly a: Expr; readonly b: Expr; readonly c: Expr })
  /** A scalar in every lane. */
  | (Base & { readonly op: 'splat'; readonly a: Expr })
  /** One lane of a vector. */
  | (Base & { readonly op: 'lane'; readonly a: Expr; readonly lane: number })
  /** Lanes chosen from a (0 .. lanes-1) and b (lanes ..). */
  | (Base & {
      readonly op: 'shuffle';
      readonly a: Expr;
      readonly b: Expr;
      readonly pick: readonly number[];
    })
  /** c + sum of four byte products per i32 lane; a and b are i32 lanes holding four bytes each. */
  | (Base & {
      readonly op: 'dot4';
      readonly variant: Dot4;
      readonly a: Expr;
      readonly b: Expr;
      readonly c: Expr;
    })
  /**
   * Each of the four bytes of an i32, 0 .. 15, as the entry of a table of 16 bytes that it numbers.
   * Entries are -128 .. 255: the byte is what counts.
   */
  | (Base & { readonly op: 'lookup'; readonly a: Expr; readonly table: readonly number[] })
  /**
   * c + the sums of four byte products per i32 lane, signed ones on the left with ones in 0 .. `most` (at most
   * 127), of several pairs: a printer may add them in 16 bits as far as they fit there.
   */
  | (Base & {
      readonly op: 'dots';
      readonly left: readonly Expr[];
      readonly right: readonly Expr[];
      readonly c: Expr;
      readonly most: number;
    })
  /**
   * Bytes as pairs of 16 bits: of the i32 lanes of a, which hold four bytes each, those of the lower or
   * the upper half of the lanes, two a lane, each with its sign or with zeros above.
   */
  | (Base & {
      readonly op: 'pairs';
      readonly a: Expr;
      readonly from: 'low' | 'high';
      readonly signed: boolean;
    })
  /** c + the two products of signed 16-bit numbers per i32 lane; sums wrap around. */
  | (Base & { readonly op: 'dot2'; readonly a: Expr; readonly b: Expr; readonly c: Expr });

export type ExprOf<K extends Expr['op']> = Extract<Expr, { readonly op: K }>;

/** A named function of scalars, such as an attention mask `|i, j| j <= i`. */
export interface ScalarFn {
  readonly params: readonly string[];
  readonly body: Expr;
}

const scalarBase = (dtype: ScalarType): Base => ({ dtype, lanes: 1 });

export const num = (value: number, dtype: ScalarType = 'f32'): Expr => ({
  op: 'const',
  value,
  ...scalarBase(dtype),
});
export const int = (value: number): Expr => num(value, 'i32');
export const bool = (value: boolean): Expr => num(value ? 1 : 0, 'bool');
export const variable = (name: string, dtype: ScalarType = 'i32', lanes = 1): Expr => ({
  op: 'var',
  name,
  dtype,
  lanes,
});
export const at = (operand: number, index: readonly Expr[], dtype: ScalarType = 'f32'): Expr => ({
  op: 'at',
  operand,
  index,
  ...scalarBase(dtype),
});
export const load = (tile: string, index: Expr, dtype: ScalarType = 'f32', lanes = 1): Expr => ({
  op: 'load',
  tile,
  index,
  dtype,
  lanes,
});

export const sumOver = (index: string, extent: number, a: Expr): Expr => ({
  op: 'sum',
  index,
  extent,
  a,
  dtype: a.dtype,
  lanes: a.lanes,
});

const isConst = (e: Expr, value?: number): e is ExprOf<'const'> =>
  e.op === 'const' && (value === undefined || e.value === value);

export const unary = (op: UnaryOp, a: Expr): Expr => ({ op, a, dtype: a.dtype, lanes: a.lanes });

/** Integer operands fold when constant: index arithmetic stays readable. Floats are left as written. */
export function arithmetic(op: ArithmeticOp, a: Expr, b: Expr): Expr {
  if (a.dtype === 'i32') {
    if (isConst(a) && isConst(b)) {
      const folded = foldInt(op, a.value, b.value);
      if (folded !== undefined) return { ...a, value: folded };
    }
    if (op === 'add' && isConst(b, 0)) return a;
    if (op === 'add' && isConst(a, 0)) return b;
    if (op === 'sub' && isConst(b, 0)) return a;
    if (op === 'mul' && isConst(b, 1)) return a;
    if (op === 'mul' && isConst(a, 1)) return b;
    if (op === 'mul' && (isConst(a, 0) || isConst(b, 0)))
      return { ...num(0, 'i32'), lanes: a.lanes };
    if (op === 'div' && isConst(b, 1)) return a;
    if (op === 'rem' && isConst(b, 1)) return int(0);
  }
  return { op, a, b, dtype: a.dtype, lanes: Math.max(a.lanes, b.lanes) };
}

function foldInt(op: ArithmeticOp, a: number, b: number): number | undefined {
  switch (op) {
    case 'add': return (a + b) | 0;
    case 'sub': return (a - b) | 0;
    case 'mul': return Math.imul(a, b);
    case 'div': return b === 0 ? undefined : Math.trunc(a / b);
    case 'rem': return b === 0 ? undefined : a % b;
    case 'min': return Math.min(a, b);
    case 'max': return Math.max(a, b);
    case 'and': return a & b;
    case 'or': return a | b;
    case 'xor': return a ^ b;
    case 'shl': return a << b;
    case 'shr': return (a >>> b) | 0;
  }
} // prettier-ignore

export const add = (a: Expr, b: Expr): Expr => arithmetic('add', a, b);
export const sub = (a: Expr, b: Expr): Expr => arithmetic('sub', a, b);
export const mul = (a: Expr, b: Expr): Expr => arithmetic('mul', a, b);
export const div = (a: Expr, b: Expr): Expr => arithmetic('div', a, b);
export const rem = (a: Expr, b: Expr): Expr => arithmetic('rem', a, b);
export const min = (a: Expr, b: Expr): Expr => arithmetic('min', a, b);
export const max = (a: Expr, b: Expr): Expr => arithmetic('max', a, b);
export const compare = (op: CompareOp, a: Expr, b: Expr): Expr => ({
  op,
  a,
  b,
  dtype: 'bool',
  lanes: Math.max(a.lanes, b.lanes),
});
export const select = (when: Expr, a: Expr, b: Expr): Expr => ({
  op: 'select',
  when,
  a,
  b,
  dtype: a.dtype,
  lanes: Math.max(a.lanes, b.lanes),
});
export const cast = (a: Expr, dtype: ScalarType): Expr =>
  a.dtype === dtype ? a : { op: 'cast', a, dtype, lanes: a.lanes };
export const bits = (a: Expr, dtype: ScalarType): Expr => ({
  op: 'bits',
  a,
  dtype,
  lanes: a.lanes,
});
export const half = (a: Expr): Expr => ({ op: 'half', a, dtype: 'f32', lanes: a.lanes });
/** What came from 16 bits by rounding has them already. */
export const toHalf = (a: Expr): Expr =>
  a.op === 'half' && a.a.op === 'tohalf' ? a.a : { op: 'tohalf', a, dtype: 'i32', lanes: a.lanes };
export const fma = (a: Expr, b: Expr, c: Expr): Expr => ({
  op: 'fma',
  a,
  b,
  c,
  dtype: c.dtype,
  lanes: Math.max(a.lanes, b.lanes, c.lanes),
});
export const splat = (a: Expr, lanes: number): Expr =>
  a.lanes === lanes ? a : { op: 'splat', a, dtype: a.dtype, lanes };
export const lane = (a: Expr, index: number): Expr => ({
  op: 'lane',
  a,
  lane: index,
  dtype: a.dtype,
  lanes: 1,
});
export const dot4 = (variant: Dot4, a: Expr, b: Expr, c: Expr): Expr => ({
  op: 'dot4',
  variant,
  a,
  b,
  c,
  dtype: 'i32',
  lanes: c.lanes,
});
export const lookup = (a: Expr, table: readonly number[]): Expr => ({
  op: 'lookup',
  a,
  table,
  dtype: 'i32',
  lanes: a.lanes,
});
export const dots = (
  left: readonly Expr[],
  right: readonly Expr[],
  c: Expr,
  most: number,
): Expr => ({ op: 'dots', left, right, c, most, dtype: 'i32', lanes: c.lanes });
/** Both halves of a's bytes as pairs, the lower lanes' first. */
export const pairsOf = (a: Expr, signed: boolean): readonly [Expr, Expr] => [
  { op: 'pairs', a, from: 'low', signed, dtype: 'i32', lanes: a.lanes },
  { op: 'pairs', a, from: 'high', signed, dtype: 'i32', lanes: a.lanes },
];
export const dot2 = (a: Expr, b: Expr, c: Expr): Expr => ({
  op: 'dot2',
  a,
  b,
  c,
  dtype: 'i32',
  lanes: c.lanes,
});
export const shuffle = (a: Expr, b: Expr, pick: readonly number[]): Expr => ({
  op: 'shuffle',
  a,
  b,
  pick,
  dtype: a.dtype,
  lanes: pick.length,
});
