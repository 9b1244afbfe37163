/** Expressions as LLVM IR: each emits its instructions and returns the name of its value. */
import { invariant, present, unreachable } from '../base/invariant.ts';
import { bytesOf } from '../base/type.ts';
import type { Expr, ExprOf, ScalarType } from '../scalar/expr.ts';
import { type Tile } from '../5-kernel/kernel.ts';
import { emitLookup } from './llvm-lookup.ts';
import { emitDot2, emitDot4, emitPairs } from './llvm-dot4.ts';
import {
  type LlvmBody, type LlvmFeatures, assign, call, constant, llvmType, memoryType, of, suffix,
} from './llvm-value.ts'; // prettier-ignore

export interface LlvmContext {
  readonly features: LlvmFeatures;
  readonly body: LlvmBody;
  tile(name: string): Tile;
  /** The stack slot that a register's element is. */
  register(tile: string, index: number): string;
}

const isFloat = (t: ScalarType): boolean => t === 'f32' || t === 'f64';
const typeOf = (e: Expr): string => llvmType(e.dtype, e.lanes);

export function emitLlvmExpr(c: LlvmContext, e: Expr): string {
  const go = (x: Expr): string => emitLlvmExpr(c, x);
  const { body } = c;
  const type = typeOf(e);
  const intrinsic = (name: string, ...args: readonly Expr[]): string => {
    const values = args.map((a) => [type, widened(c, a, e.lanes)] as const);
    return call(body, type, `llvm.${name}.${suffix(e.dtype, e.lanes)}`, values);
  };
  switch (e.op) {
    case 'const':
      return constant(e.value, e.dtype, e.lanes);
    case 'var':
      return assign(body, `load ${type}, ${type}* %v.${e.name}`);
    case 'load':
      return emitLoad(c, e);
    case 'splat':
      return widened(c, e.a, e.lanes);
    case 'lane':
      return assign(body, `extractelement ${typeOf(e.a)} ${go(e.a)}, i32 ${e.lane}`);
    case 'shuffle': {
      const pick = e.pick.map((p) => `i32 ${p}`).join(', ');
      const [a, b] = [go(e.a), go(e.b)];
      const from = typeOf(e.a);
      return assign(
        body,
        `shufflevector ${from} ${a}, ${from} ${b}, <${e.pick.length} x i32> <${pick}>`,
      );
    }
    case 'select': {
      const [when, a, b] = [go(e.when), widened(c, e.a, e.lanes), widened(c, e.b, e.lanes)];
      return assign(body, `select ${typeOf(e.when)} ${when}, ${type} ${a}, ${type} ${b}`);
    }
    case 'cast':
      return emitCast(c, e);
    case 'bits':
      return assign(body, `bitcast ${typeOf(e.a)} ${go(e.a)} to ${type}`);
    case 'half': {
      const [word, bits] = [go(e.a), of('i16', e.lanes)];
      const low = assign(body, `trunc ${typeOf(e.a)} ${word} to ${bits}`);
      const narrow = assign(body, `bitcast ${bits} ${low} to ${of('half', e.lanes)}`);
      return assign(body, `fpext ${of('half', e.lanes)} ${narrow} to ${type}`);
    }
    case 'tohalf': {
      const [narrow, bits] = [of('half', e.lanes), of('i16', e.lanes)];
      const near = assign(body, `fptrunc ${typeOf(e.a)} ${go(e.a)} to ${narrow}`);
      const low = assign(body, `bitcast ${narrow} ${near} to ${bits}`);
      return assign(body, `zext ${bits} ${low} to ${type}`);
    }
    case 'fma':
      return intrinsic('fma', e.a, e.b, e.c);
    case 'dot4':
      return emitDot4(body, c.features, e, go(e.a), go(e.b), go(e.c));
    case 'lookup':
      return emitLookup(body, c.features, e, go(e.a));
    case 'dots':
      return e.left.reduce((sum, a, i) => {
        const form = { variant: 'i8i7', lanes: e.lanes } as const;
        return emitDot4(body, c.features, form, go(a), go(present(e.right[i])), sum);
      }, go(e.c));
    case 'pairs':
      return emitPairs(body, e, go(e.a));
    case 'dot2':
      return emitDot2(body, e.lanes, go(e.a), go(e.b), go(e.c));
    case 'not':
      return assign(body, `xor ${type} ${go(e.a)}, ${constant(1, 'bool', e.lanes)}`);
    case 'round':
      return intrinsic('nearbyint', e.a);
    case 'neg':
      if (isFloat(e.dtype)) return assign(body, `fneg ${type} ${go(e.a)}`);
      return assign(body, `sub ${type} ${constant(0, 'i32', e.lanes)}, ${go(e.a)}`);
    case 'abs':
      if (isFloat(e.dtype)) return intrinsic('fabs', e.a);
      return call(body, type, `llvm.abs.${suffix('i32', e.lanes)}`, [
        [type, go(e.a)],
        ['i1', 'false'],
      ]);
    case 'sqrt':
    case 'floor':
    case 'ceil':
    case 'trunc':
      return intrinsic(e.op, e.a);
    case 'exp':
    case 'log':
    case 'sin':
    case 'cos':
    case 'tanh':
    case 'erf':
      invariant(false, `${e.op} is expanded before printing`);
      break;
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
      return emitArithmetic(c, e);
    case 'lt':
    case 'le':
    case 'gt':
    case 'ge':
    case 'eq':
    case 'ne':
      return emitCompare(c, e);
    case 'at':
    case 'sum':
      invariant(false, 'operands are resolved before printing');
      break;
    default:
      return unreachable(e);
  }
}

/** The value in as many lanes as its user has. */
function widened(c: LlvmContext, e: Expr, lanes: number): string {
  if (e.op === 'const') return constant(e.value, e.dtype, lanes);
  const value = emitLlvmExpr(c, e);
  if (e.lanes === lanes) return value;
  invariant(e.lanes === 1, 'only scalars are spread');
  const type = llvmType(e.dtype, lanes);
  const first = assign(
    c.body,
    `insertelement ${type} undef, ${llvmType(e.dtype, 1)} ${value}, i32 0`,
  );
  const zeros = `<${lanes} x i32> zeroinitializer`;
  return assign(c.body, `shufflevector ${type} ${first}, ${type} undef, ${zeros}`);
}

function emitLoad(c: LlvmContext, e: ExprOf<'load'>): string {
  const tile = c.tile(e.tile);
  const type = typeOf(e);
  if (tile.space === 'register') {
    invariant(e.index.op === 'const', 'registers are addressed by constants');
    return assign(c.body, `load ${type}, ${type}* ${c.register(e.tile, e.index.value)}`);
  }
  const stored = of(memoryType(tile.dtype), e.lanes);
  const at = address(c, e.tile, e.index, stored);
  const value = assign(c.body, `load ${stored}, ${stored}* ${at}, align ${bytesOf[tile.dtype]}`);
  if (stored === type) return value;
  return assign(c.body, `${tile.dtype === 'i8' ? 'sext' : 'zext'} ${stored} ${value} to ${type}`);
}

/** A pointer to `type` at an element of a tile; tiles of weights may pass 4 GB, so bytes are i64. */
export function address(c: LlvmContext, name: string, index: Expr, type: string): string {
  const tile = c.tile(name);
  const base = tile.space === 'global' ? `%p.${name}` : '%scratch';
  const elements = wide(c, index);
  const size = bytesOf[tile.dtype];
  const scaled = size === 1 ? elements : assign(c.body, `mul nsw i64 ${elements}, ${size}`);
  const fixed = tile.space === 'global' ? 0 : (tile.offset ?? 0);
  const bytes = fixed === 0 ? scaled : assign(c.body, `add nsw i64 ${scaled}, ${fixed}`);
  const at = assign(c.body, `getelementptr i8, i8* ${base}, i64 ${bytes}`);
  return type === 'i8' ? at : assign(c.body, `bitcast i8* ${at} to ${type}*`);
}

/** An index in 64 bits. Verified kernels are in bounds, so its sums and products do not wrap. */
function wide(c: LlvmContext, e: Expr): string {
  if (e.op === 'const') return String(e.value);
  if (e.op === 'add' || e.op === 'sub' || e.op === 'mul') {
    const [a, b] = [wide(c, e.a), wide(c, e.b)];
    return assign(c.body, `${e.op} nsw i64 ${a}, ${b}`);
  }
  return assign(c.body, `sext i32 ${emitLlvmExpr(c, e)} to i64`);
}

function emitCast(c: LlvmContext, e: ExprOf<'cast'>): string {
  const value = emitLlvmExpr(c, e.a);
  const [from, to] = [typeOf(e.a), typeOf(e)];
  const convert = (how: string): string => assign(c.body, `${how} ${from} ${value} to ${to}`);
  if (e.a.dtype === 'bool') return convert(isFloat(e.dtype) ? 'uitofp' : 'zext');
  if (isFloat(e.a.dtype) && isFloat(e.dtype))
    return convert(e.dtype === 'f64' ? 'fpext' : 'fptrunc');
  if (isFloat(e.dtype)) return convert('sitofp');
  if (e.lanes > 1 && e.a.dtype === 'f32') return saturate(c, value, e.lanes);
  const names = `${suffix(e.dtype, e.lanes)}.${suffix(e.a.dtype, e.lanes)}`;
  return call(c.body, to, `llvm.fptosi.sat.${names}`, [[from, value]]);
}

/** `llvm.fptosi.sat` of lanes, which LLVM 14 would take apart lane by lane. */
function saturate(c: LlvmContext, value: string, lanes: number): string {
  const [floats, ints, flags] = [llvmType('f32', lanes), llvmType('i32', lanes), of('i1', lanes)];
  const pick = (test: string, other: string, a: string, type: string, b: string): string => {
    const when = assign(c.body, `fcmp ${test} ${floats} ${value}, ${other}`);
    return assign(c.body, `select ${flags} ${when}, ${type} ${a}, ${type} ${b}`);
  };
  const [least, past] = [-(2 ** 31), 2 ** 31].map((x) => constant(x, 'f32', lanes));
  const zero = constant(0, 'i32', lanes);
  // What does not fit becomes what does: undefined results are never chosen, nor are they made.
  const low = pick('olt', least ?? '', constant(0, 'f32', lanes), floats, value);
  const high = assign(c.body, `fcmp olt ${floats} ${low}, ${past}`);
  const fits = assign(
    c.body,
    `select ${flags} ${high}, ${floats} ${low}, ${floats} ${constant(0, 'f32', lanes)}`,
  );
  const whole = assign(c.body, `fptosi ${floats} ${fits} to ${ints}`);
  const above = pick('oge', past ?? '', constant(2 ** 31 - 1, 'i32', lanes), ints, whole);
  const below = pick('olt', least ?? '', constant(-(2 ** 31), 'i32', lanes), ints, above);
  return pick('uno', value, zero, ints, below);
}

type Arithmetic = Extract<Expr, { op: keyof typeof integers }>;
const integers = {
  add: 'add', sub: 'sub', mul: 'mul', div: 'udiv', rem: 'urem', min: 'slt', max: 'sgt',
  and: 'and', or: 'or', xor: 'xor', shl: 'shl', shr: 'lshr',
} as const; // prettier-ignore

function emitArithmetic(c: LlvmContext, e: Arithmetic): string {
  const type = typeOf(e);
  const [a, b] = [widened(c, e.a, e.lanes), widened(c, e.b, e.lanes)];
  const float = isFloat(e.dtype);
  if (e.op === 'min' || e.op === 'max') {
    // b < a ? b : a, so that a NaN in a stays; one instruction.
    const test = float ? `fcmp ${e.op === 'min' ? 'olt' : 'ogt'}` : `icmp ${integers[e.op]}`;
    const when = assign(c.body, `${test} ${type} ${b}, ${a}`);
    return assign(c.body, `select ${of('i1', e.lanes)} ${when}, ${type} ${b}, ${type} ${a}`);
  }
  if (float) return assign(c.body, `f${e.op} ${type} ${a}, ${b}`);
  if ((e.op === 'shl' || e.op === 'shr') && e.b.op !== 'const') {
    // A shift by 32 or more has no meaning in LLVM; here only its low five bits count.
    const low = assign(c.body, `and ${type} ${b}, ${constant(31, 'i32', e.lanes)}`);
    return assign(c.body, `${integers[e.op]} ${type} ${a}, ${low}`);
  }
  return assign(c.body, `${integers[e.op]} ${type} ${a}, ${b}`);
}

function emitCompare(
  c: LlvmContext,
  e: Extract<Expr, { op: 'lt' | 'le' | 'gt' | 'ge' | 'eq' | 'ne' }>,
): string {
  const [a, b] = [widened(c, e.a, e.lanes), widened(c, e.b, e.lanes)];
  const type = llvmType(e.a.dtype, e.lanes);
  if (isFloat(e.a.dtype)) {
    return assign(c.body, `fcmp ${e.op === 'ne' ? 'une' : `o${e.op}`} ${type} ${a}, ${b}`);
  }
  const signed = e.op === 'eq' || e.op === 'ne' ? e.op : `s${e.op}`;
  return assign(c.body, `icmp ${signed} ${type} ${a}, ${b}`);
}
