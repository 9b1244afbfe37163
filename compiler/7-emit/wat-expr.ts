/** Expressions as WebAssembly text, folded. */
import { invariant, present, unreachable } from '../base/invariant.ts';
import { bytesOf } from '../base/type.ts';
import { type Expr, type ExprOf, type ScalarType, add, int } from '../scalar/expr.ts';
import type { Tile } from '../5-kernel/kernel.ts';

export type WasmType = 'i32' | 'f32' | 'f64' | 'v128';

/** What addresses are: of 32 bits, or of 64 (memory64). */
export type AddressType = 'i32' | 'i64';

export interface ExprContext {
  readonly relaxed: boolean;
  readonly address: AddressType;
  tile(name: string): Tile;
  /** The local that a register's element is. */
  register(tile: string, index: number): string;
  /** A new local for a vector that is read twice. */
  vector(): string;
}

export const wasmType = (dtype: ScalarType, lanes: number): WasmType =>
  lanes > 1 ? 'v128' : dtype === 'bool' ? 'i32' : dtype;

const shapeOf = (e: Expr): string => (e.dtype === 'f32' ? 'f32x4' : 'i32x4');
const typeName = (e: Expr): string =>
  e.lanes > 1 ? shapeOf(e) : e.dtype === 'bool' ? 'i32' : e.dtype;

export function floatText(value: number): string {
  if (Number.isNaN(value)) return 'nan';
  if (value === Infinity) return 'inf';
  if (value === -Infinity) return '-inf';
  return Object.is(value, -0) ? '-0' : String(value);
}

export function emitExpr(c: ExprContext, e: Expr): string {
  const go = (x: Expr): string => emitExpr(c, x);
  switch (e.op) {
    case 'const':
      return constText(e);
    case 'var':
      return `(local.get $${e.name})`;
    case 'load':
      return loadText(c, e, e.lanes);
    case 'splat':
      return splatText(c, e);
    case 'lane':
      return `(${shapeOf(e.a)}.extract_lane ${e.lane} ${go(e.a)})`;
    case 'shuffle': {
      if (e.a.lanes === 2) return twoLanesText(c, e);
      const bytes = e.pick.flatMap((l) => [0, 1, 2, 3].map((b) => l * 4 + b));
      return `(i8x16.shuffle ${bytes.join(' ')} ${go(e.a)} ${go(e.b)})`;
    }
    case 'select':
      return e.lanes > 1
        ? `(v128.bitselect ${go(e.a)} ${go(e.b)} ${go(e.when)})`
        : `(select ${go(e.a)} ${go(e.b)} ${go(e.when)})`;
    case 'cast':
      return castText(c, e);
    case 'bits':
      if (e.lanes > 1) return go(e.a);
      return `(${e.dtype}.reinterpret_${e.a.dtype} ${go(e.a)})`;
    case 'fma':
      if (e.lanes > 1 && c.relaxed) {
        return `(f32x4.relaxed_madd ${go(e.a)} ${go(e.b)} ${go(e.c)})`;
      }
      return `(${typeName(e)}.add (${typeName(e)}.mul ${go(e.a)} ${go(e.b)}) ${go(e.c)})`;
    case 'dot4':
      return dot4Text(c, e);
    case 'lookup':
      return lookupText(c, e);
    case 'dots':
      return dotsText(c, e);
    case 'pairs':
      return pairsText(c, e);
    case 'dot2':
      return `(i32x4.add ${go(e.c)} (i32x4.dot_i16x8_s ${go(e.a)} ${go(e.b)}))`;
    case 'not':
      return e.lanes > 1 ? `(v128.not ${go(e.a)})` : `(i32.eqz ${go(e.a)})`;
    case 'round':
      return `(${typeName(e)}.nearest ${go(e.a)})`;
    case 'neg':
      if (e.dtype === 'i32' && e.lanes === 1) return `(i32.sub (i32.const 0) ${go(e.a)})`;
      return `(${typeName(e)}.neg ${go(e.a)})`;
    case 'abs':
    case 'sqrt':
    case 'floor':
    case 'ceil':
    case 'trunc':
      return `(${typeName(e)}.${e.op} ${go(e.a)})`;
    case 'half':
    case 'tohalf':
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
      return arithmeticText(c, e);
    case 'lt':
    case 'le':
    case 'gt':
    case 'ge':
    case 'eq':
    case 'ne':
      return compareText(c, e);
    case 'at':
    case 'sum':
      invariant(false, 'operands are resolved before printing');
      break;
    default:
      return unreachable(e);
  }
}

function constText(e: ExprOf<'const'>): string {
  if (e.lanes > 1) {
    const value = e.dtype === 'f32' ? floatText(e.value) : String(e.value);
    return `(v128.const ${shapeOf(e)} ${Array.from({ length: 4 }, () => value).join(' ')})`;
  }
  if (e.dtype === 'f32' || e.dtype === 'f64') return `(${e.dtype}.const ${floatText(e.value)})`;
  return `(i32.const ${e.value})`;
}

function splatText(c: ExprContext, e: ExprOf<'splat'>): string {
  if (e.a.op === 'const') return constText({ ...e.a, lanes: e.lanes });
  if (e.a.op === 'load' && c.tile(e.a.tile).space !== 'register' && isWord(c.tile(e.a.tile))) {
    return `(v128.load32_splat ${addressText(c, e.a.tile, e.a.index)})`;
  }
  return `(${shapeOf(e)}.splat ${emitExpr(c, e.a)})`;
}

const isWord = (t: Tile): boolean => bytesOf[t.dtype] === 4;

function loadText(c: ExprContext, e: ExprOf<'load'>, lanes: number): string {
  const tile = c.tile(e.tile);
  if (tile.space === 'register') {
    invariant(e.index.op === 'const', 'registers are addressed by constants');
    return `(local.get $${c.register(e.tile, e.index.value)})`;
  }
  const at = addressText(c, e.tile, e.index);
  if (lanes > 1) {
    if (isWord(tile)) return `(v128.load ${at})`;
    invariant(lanes === 4, 'vectors of four elements');
    // Bits of narrow elements, each in a lane of its own, as the scalar load has them.
    if (bytesOf[tile.dtype] === 2) return `(v128.load16x4_u ${at})`;
    const sign = tile.dtype === 'i8' ? 's' : 'u';
    const words = `(i16x8.extend_low_i8x16_${sign} (v128.load32_zero ${at}))`;
    return `(i32x4.extend_low_i16x8_${sign} ${words})`;
  }
  switch (tile.dtype) {
    case 'f32':
    case 'f64':
      return `(${tile.dtype}.load ${at})`;
    case 'i32':
    case 'u32':
      return `(i32.load ${at})`;
    case 'bf16':
    case 'f16':
      return `(i32.load16_u ${at})`;
    case 'u8':
    case 'bool':
      return `(i32.load8_u ${at})`;
    case 'i8':
      return `(i32.load8_s ${at})`;
  }
}

/** `offset=n (address)`: the constant part of the index goes into the instruction. */
export function addressText(c: ExprContext, name: string, index: Expr): string {
  const tile = c.tile(name);
  const size = bytesOf[tile.dtype];
  const { rest, constant } = splitConstant(index);
  const base = tile.space === 'global' ? `(local.get $${name})` : '(local.get $scratch)';
  const fixed = (tile.offset ?? 0) + constant * size;
  const offset = fixed > 0 ? `offset=${fixed} ` : '';
  const negative = fixed < 0 ? int(fixed / size) : undefined;
  const moving = rest && negative ? add(rest, negative) : (rest ?? negative);
  if (!moving) return `${offset}${base}`;
  const text = wideText(c.address, emitExpr(c, moving), 's');
  const shift = Math.log2(size);
  const bytes = size === 1 ? text : `(${c.address}.shl ${text} (${c.address}.const ${shift}))`;
  return `${offset}(${c.address}.add ${base} ${bytes})`;
}

/** An i32 as a number that is added to addresses. */
export const wideText = (address: AddressType, text: string, sign: 's' | 'u'): string =>
  address === 'i32' ? text : `(i64.extend_i32_${sign} ${text})`;

function splitConstant(e: Expr): { readonly rest: Expr | undefined; readonly constant: number } {
  if (e.op === 'const') return { rest: undefined, constant: e.value };
  if (e.op === 'add') {
    const a = splitConstant(e.a);
    const b = splitConstant(e.b);
    const rest = a.rest && b.rest ? add(a.rest, b.rest) : (a.rest ?? b.rest);
    return { rest, constant: a.constant + b.constant };
  }
  return { rest: e, constant: 0 };
}

/**
 * Four lanes of four byte products. With relaxed SIMD pairs in one instruction where b is in 0 .. 127
 * (the one that also adds to c loses c in V8 11.3's baseline code); else 16-bit products of two lanes at a
 * time, whose halves then meet.
 */
function dot4Text(c: ExprContext, e: ExprOf<'dot4'>): string {
  invariant(e.lanes === 4, 'four lanes');
  const [a, b, sum] = [emitExpr(c, e.a), emitExpr(c, e.b), emitExpr(c, e.c)];
  if (c.relaxed && e.variant === 'i8i7') {
    const pairs = `(i16x8.relaxed_dot_i8x16_i7x16_s ${a} ${b})`;
    return `(i32x4.add ${sum} (i32x4.extadd_pairwise_i16x8_s ${pairs}))`;
  }
  const sign = e.variant === 'u8s8' ? 'u' : 's';
  const half = (which: 'low' | 'high'): string =>
    `(i32x4.dot_i16x8_s (i16x8.extend_${which}_i8x16_${sign} ${a}) (i16x8.extend_${which}_i8x16_s ${b}))`;
  return `(i32x4.add ${sum} ${halvesText(c, half('low'), half('high'))})`;
}

/** The table in a vector, and its bytes picked by those of the operand. */
function lookupText(c: ExprContext, e: ExprOf<'lookup'>): string {
  const table = `(v128.const i8x16 ${e.table.join(' ')})`;
  const a = emitExpr(c, e.a);
  if (e.lanes > 1) return `(i8x16.swizzle ${table} ${a})`;
  return `(i32x4.extract_lane 0 (i8x16.swizzle ${table} (i32x4.splat ${a})))`;
}

/** With relaxed SIMD as many products in 16 bits as fit there; else in two halves that meet at the end. */
function dotsText(c: ExprContext, e: ExprOf<'dots'>): string {
  invariant(e.lanes === 4 && e.most <= 127, 'four lanes, seven bits');
  const sum = emitExpr(c, e.c);
  const terms = e.left.map((a, i) => [emitExpr(c, a), emitExpr(c, present(e.right[i]))] as const);
  const added = (shape: string, all: readonly string[]): string =>
    all.reduce((x, y) => `(${shape}.add ${x} ${y})`);
  if (c.relaxed) {
    const pairs = terms.map(([a, b]) => `(i16x8.relaxed_dot_i8x16_i7x16_s ${a} ${b})`);
    const fit = Math.max(1, Math.floor(32767 / (2 * 128 * e.most)));
    const sums = Array.from({ length: Math.ceil(pairs.length / fit) }, (_, i) => {
      const narrow = added('i16x8', pairs.slice(i * fit, (i + 1) * fit));
      return `(i32x4.extadd_pairwise_i16x8_s ${narrow})`;
    });
    return added('i32x4', [sum, ...sums]);
  }
  const half = (which: 'low' | 'high'): string => {
    const wide = (v: string): string => `(i16x8.extend_${which}_i8x16_s ${v})`;
    return added('i32x4', terms.map(([a, b]) => `(i32x4.dot_i16x8_s ${wide(a)} ${wide(b)})`)); // prettier-ignore
  };
  return `(i32x4.add ${sum} ${halvesText(c, half('low'), half('high'))})`;
}

/** Sums of two lanes each, of the lower and the upper half of four lanes. */
function halvesText(c: ExprContext, low: string, high: string): string {
  const [x, y] = [c.vector(), c.vector()];
  const every = (first: number, a: string, b: string): string => {
    const bytes = [0, 2, 4, 6].flatMap((w) => [0, 1, 2, 3].map((x) => 4 * (w + first) + x));
    return `(i8x16.shuffle ${bytes.join(' ')} ${a} ${b})`;
  };
  const first = every(0, `(local.tee $${x} ${low})`, `(local.tee $${y} ${high})`);
  return `(i32x4.add ${first} ${every(1, `(local.get $${x})`, `(local.get $${y})`)})`;
}

/** Two lanes over and over: vectors of two lanes are in memory alone. */
function twoLanesText(c: ExprContext, { a, b, pick }: ExprOf<'shuffle'>): string {
  invariant(a.op === 'load' && a === b && isWord(c.tile(a.tile)), 'two lanes are loaded');
  invariant(
    pick.every((p, i) => p % 2 === i % 2),
    'two lanes over and over',
  );
  return `(v128.load64_splat ${addressText(c, a.tile, a.index)})`;
}

/** Half of a vector that lies in memory is loaded alone and made wider on the way. */
function pairsText(c: ExprContext, { a, from, signed }: ExprOf<'pairs'>): string {
  invariant(a.lanes === 4, 'four lanes');
  const sign = signed ? 's' : 'u';
  if (a.op === 'load' && c.tile(a.tile).space !== 'register' && isWord(c.tile(a.tile))) {
    const index = from === 'low' ? a.index : add(a.index, int(2));
    return `(v128.load8x8_${sign} ${addressText(c, a.tile, index)})`;
  }
  return `(i16x8.extend_${from}_i8x16_${sign} ${emitExpr(c, a)})`;
}

function castText(c: ExprContext, e: ExprOf<'cast'>): string {
  const from = e.a.dtype;
  const text = emitExpr(c, e.a);
  const to = e.dtype;
  if (e.lanes > 1) {
    if (from === 'i32' && to === 'f32') return `(f32x4.convert_i32x4_s ${text})`;
    if (from === 'f32' && to === 'i32') return `(i32x4.trunc_sat_f32x4_s ${text})`;
    invariant(false, `no cast of lanes from ${from} to ${to}`);
  }
  if (from === 'bool' && to === 'i32') return text;
  const floats = (t: ScalarType): boolean => t === 'f32' || t === 'f64';
  if (floats(from) && floats(to)) {
    return to === 'f64' ? `(f64.promote_f32 ${text})` : `(f32.demote_f64 ${text})`;
  }
  if (floats(to)) return `(${to}.convert_i32_s ${text})`;
  return `(i32.trunc_sat_${from}_s ${text})`;
}

const integerNames = { div: 'div_u', rem: 'rem_u', shl: 'shl', shr: 'shr_u' } as const;

function arithmeticText(c: ExprContext, e: Extract<Expr, { op: keyof typeof plainNames }>): string {
  const [a, b] = [emitExpr(c, e.a), emitExpr(c, e.b)];
  const float = e.dtype === 'f32' || e.dtype === 'f64';
  if (e.lanes > 1) {
    if (e.op === 'and' || e.op === 'or' || e.op === 'xor') return `(v128.${e.op} ${a} ${b})`;
    if (e.op === 'shl' || e.op === 'shr') {
      invariant(e.b.op === 'const', 'lanes shift by a constant');
      return `(i32x4.${integerNames[e.op]} ${a} (i32.const ${e.b.value}))`;
    }
    if (e.op === 'min' || e.op === 'max') {
      // pmin(a, b) is b < a ? b : a: one instruction, and a NaN in a stays.
      return float ? `(f32x4.p${e.op} ${a} ${b})` : `(i32x4.${e.op}_s ${a} ${b})`;
    }
    invariant(float || (e.op !== 'div' && e.op !== 'rem'), 'no division of integer lanes');
    return `(${shapeOf(e)}.${e.op} ${a} ${b})`;
  }
  if (float) return `(${e.dtype}.${e.op} ${a} ${b})`;
  switch (e.op) {
    case 'min':
    case 'max': {
      const test = `(i32.${e.op === 'min' ? 'lt_s' : 'gt_s'} ${a} ${b})`;
      return `(select ${a} ${b} ${test})`;
    }
    case 'div':
    case 'rem':
    case 'shr':
    case 'shl':
      return `(i32.${integerNames[e.op]} ${a} ${b})`;
    case 'add':
    case 'sub':
    case 'mul':
    case 'and':
    case 'or':
    case 'xor':
      return `(i32.${e.op} ${a} ${b})`;
  }
}

const plainNames = {
  add: 1, sub: 1, mul: 1, div: 1, rem: 1, min: 1, max: 1, and: 1, or: 1, xor: 1, shl: 1, shr: 1,
}; // prettier-ignore

function compareText(
  c: ExprContext,
  e: Extract<Expr, { op: 'lt' | 'le' | 'gt' | 'ge' | 'eq' | 'ne' }>,
): string {
  const float = e.a.dtype === 'f32' || e.a.dtype === 'f64';
  const signed = float || e.op === 'eq' || e.op === 'ne' ? '' : '_s';
  const lanes = e.lanes > 1;
  const type = lanes ? shapeOf(e.a) : e.a.dtype === 'bool' ? 'i32' : e.a.dtype;
  return `(${type}.${e.op}${signed} ${emitExpr(c, e.a)} ${emitExpr(c, e.b)})`;
}
