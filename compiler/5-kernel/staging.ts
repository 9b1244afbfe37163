/**
 * Operands of products, laid out before the matrix is passed over: as they lie in memory, as floats
 * in the thread's scratch, or as the codes that their scheme makes of them.
 */
import { invariant, present } from '../base/invariant.ts';
import type { ValueId } from '../3-graph/graph.ts';
import type { Contraction } from '../4-partition/plan.ts';
import {
  type Expr, add, arithmetic, cast, dot4, int, load, max, mul, num, pairsOf, sub, unary, variable,
} from '../scalar/expr.ts'; // prettier-ignore
import { type Activation, codesBelow, quantisedFrom } from './activation.ts';
import type { LowerContext } from './context.ts';
import { type Frame, columnsOf, element, productOf } from './frame.ts';
import type { Stmt } from './kernel.ts';
import {
  type Linear, addIndex, flatten, indexExpr, loopIndex, scaleIndex, unflatten,
} from './linear.ts'; // prettier-ignore
import type { LoopAxis } from './loops.ts';
import { emitNodes, wholeShare } from './nodes.ts';
import { floatingNodes } from './rows.ts';
import { loop, named, readRegister, registers, store } from './statements.ts';
import { reduceAllLanes } from './vectorize.ts';

/** An operand as floats. */
export interface StagedFloats {
  readonly kind: 'floats';
  readonly tile: string;
  /** Element where the row of `token` (of all), the `local`-th of the stage, begins; per slot. */
  row(token: Expr, local: Expr, slot: Linear): Expr;
}

/** An operand as codes, four to a word, in rows: one for each slot of each staged token. */
export interface StagedCodes {
  readonly kind: 'codes';
  /** u32; words of a row. */
  readonly words: string;
  readonly perRow: number;
  /** u32; the same codes, two of 16 bits to a word, where a product reads them so. */
  readonly pairs: string | undefined;
  /** f32; elements of k that share a scale, and scales of a row. */
  readonly scales: string;
  readonly group: number;
  readonly scalesPerRow: number;
  readonly sums: readonly StagedSums[];
  /** Number of the row of the `local`-th token of the stage. */
  row(local: Expr, slot: Linear): Expr;
}

export type Staged = StagedFloats | StagedCodes;

/** Tokens whose operands are laid out: those from `block` to `end`, at most `tokens`. */
export interface StagedBlock {
  readonly tokens: number;
  readonly block: Expr;
  readonly end: Expr;
  readonly stages: ReadonlyMap<ValueId, Staged>;
}

/** Sums over parts of rows: i32 codes times a factor, or f32 values. */
export interface StagedSums extends SumWanted {
  readonly tile: string;
  readonly perRow: number;
}

/** The tile of sums over parts of `part` elements; of values where no factor is given. */
export const sumsOf = (x: StagedCodes, part: number, factor?: number): string =>
  present(x.sums.find((s) => s.part === part && s.factor === factor)).tile;

/** What products want of an operand: sums of its codes over parts of k. */
export interface SumWanted {
  readonly part: number;
  /** Codes times a number, exactly; absent: values, the scale included. */
  readonly factor?: number;
}

export interface StageRequest {
  readonly x: ValueId;
  readonly contraction: Contraction;
  /** k is filled up with zeros to a multiple of it. */
  readonly multiple: number;
  /** Whether codes are made of it. */
  readonly codes: boolean;
  readonly sums: readonly SumWanted[];
  /** Whether codes are wanted as pairs of 16 bits too. */
  readonly pairs: boolean;
  /** Tokens that are laid out at a time, at most. */
  readonly tokens: number;
}

/** Bytes of a row of codes or floats, sums left out. */
export const bytesOfRow = ({ contraction, codes, pairs }: Omit<StageRequest, 'tokens'>): number =>
  contraction.k * (codes ? (pairs ? 3 : 1) : 4);

/** x as it lies in memory, if it does and only its shape differs. */
export function directStage(ctx: LowerContext, x: ValueId, k: number): StagedFloats | undefined {
  const { plan, builder } = ctx;
  let v = x;
  for (;;) {
    const buffer = plan.buffers.get(v);
    if (buffer) {
      const tile = builder.param({ kind: 'buffer', buffer: buffer.id }, buffer.dtype, 'x');
      return {
        kind: 'floats',
        tile,
        row: (token, _local, slot) =>
          add(mul(token, int(buffer.width)), indexExpr(scaleIndex(slot, k))),
      };
    }
    const facts = plan.producers.get(v);
    if (facts?.lowered.kind !== 'view') return undefined;
    v = present(facts.node.inputs[0]);
  }
}

/** Statements that compute x row by row into scratch, k padded with zeros; `rows` of them are kept. */
export function floatStage(
  ctx: LowerContext,
  { x, contraction: c, multiple, tokens }: StageRequest,
  block: Expr,
  end: Expr,
  out: Stmt[],
): StagedFloats {
  const { builder: b } = ctx;
  const padded = Math.ceil(c.k / multiple) * multiple;
  const slots = c.xSlots ? present(c.slots) : 1;
  const width = slots * padded;
  const tile = b.scratch('staged', tokens * width);
  const token = b.fresh('token');
  const local = named(b.fresh('local'), mul(sub(variable(token), block), int(width)));
  const body = rowInto(ctx, x, c, padded, token, tile, local.ref);
  out.push(loop(token, block, end, [local.stmt, ...body]));
  return {
    kind: 'floats',
    tile,
    row: (_token, localRow, slot) =>
      add(mul(localRow, int(width)), indexExpr(scaleIndex(slot, padded))),
  };
}

/** Statements that compute the row `token` of x and store it from element `start` of `tile` on. */
function rowInto(
  ctx: LowerContext,
  x: ValueId,
  c: Contraction,
  padded: number,
  token: string,
  tile: string,
  start: Expr,
): Stmt[] {
  const { builder: b, plan } = ctx;
  const slots = c.xSlots ? present(c.slots) : 1;
  const frame: Frame = {
    plan,
    builder: b,
    row: loopIndex(token, Infinity),
    locals: new Map(),
  };
  const nodes = floatingNodes(plan, [x]);
  const work = emitNodes({ frame, share: (v) => wholeShare(frame, v), stores: new Set(), nodes });
  const sizes = columnsOf(plan, x);
  const axes = sizes.map((extent): LoopAxis => ({ hint: 'i', extent }));
  const copy = b.loops.store(b, axes, (index) => {
    const inRow = flatten(index, sizes);
    const parts = slots === 1 ? inRow : paddedOffset(index, sizes, c.k, padded);
    return {
      tile,
      index: add(start, indexExpr(parts)),
      value: element(frame, x, [frame.row, ...index]),
    };
  });
  const zeros = Array.from({ length: padded - c.k }, (_, i) => i).flatMap((i) =>
    Array.from({ length: slots }, (_, s) =>
      store(tile, add(start, int(s * padded + c.k + i)), num(0)),
    ),
  );
  return [...work, ...copy, ...zeros];
}

function paddedOffset(
  index: readonly Linear[],
  sizes: readonly number[],
  k: number,
  padded: number,
): Linear {
  const [slot, inner] = unflatten(flatten(index, sizes), [productOf(sizes) / k, k]);
  invariant(slot !== undefined && inner !== undefined, 'a row of slots');
  return addIndex(scaleIndex(slot, padded), inner);
}

/** Statements that quantise x row by row into scratch. */
export function codeStage(
  ctx: LowerContext,
  request: StageRequest,
  block: Expr,
  end: Expr,
  out: Stmt[],
): StagedCodes {
  const { builder: b, plan } = ctx;
  const { contraction: c } = request;
  const { from, activation } = present(quantisedFrom(plan, request.x));
  const slots = c.xSlots ? present(c.slots) : 1;
  const padded = Math.ceil(c.k / request.multiple) * request.multiple;
  const group = activation.group === 0 ? padded : activation.group;
  invariant(padded % group === 0, 'groups fill a row');
  const rows = request.tokens * slots;
  const bytes = b.scratch('codes', rows * padded, 'i8');
  const words = b.view(bytes, 'u32');
  const pairs = request.pairs ? b.scratch('pairs', (rows * padded) / 2, 'u32') : undefined;
  const scalesPerRow = padded / group;
  const scales = b.scratch('scales', rows * scalesPerRow);
  const sums = request.sums.map((s) => ({
    ...s,
    perRow: padded / s.part,
    tile: b.scratch('sums', (rows * padded) / s.part, s.factor === undefined ? 'f32' : 'i32'),
  }));
  const token = b.fresh('token');
  const local = named(b.fresh('local'), mul(sub(variable(token), block), int(slots)));
  const direct = padded === c.k ? directStage(ctx, from, c.k) : undefined;
  const row = direct?.tile ?? b.scratch('row', slots * padded);
  const work = direct ? [] : rowInto(ctx, from, c, padded, token, row, int(0));
  const s = b.fresh('slot');
  const slot = loopIndex(s, slots);
  const base = direct
    ? direct.row(variable(token), int(0), slot)
    : indexExpr(scaleIndex(slot, padded));
  const at = named(b.fresh('from'), base);
  const to = named(b.fresh('row_number'), add(local.ref, indexExpr(slot)));
  const quantised = quantiseRow(ctx, activation, {
    row,
    base: at.ref,
    to: to.ref,
    padded,
    group,
    bytes,
    words,
    pairs,
    scales,
    sums,
  });
  const inner = [at.stmt, to.stmt, ...quantised];
  out.push(
    loop(token, block, end, [
      local.stmt,
      ...work,
      ...(slots === 1 ? inner : [loop(s, 0, slots, inner)]),
    ]),
  );
  return {
    kind: 'codes',
    words,
    perRow: padded / 4,
    pairs,
    scales,
    group,
    scalesPerRow,
    sums,
    row: (localRow, slotIndex) => add(mul(localRow, int(slots)), indexExpr(slotIndex)),
  };
}

interface RowOfCodes {
  /** Floats of the row, and the element where it begins. */
  readonly row: string;
  readonly base: Expr;
  /** Number of the row among the staged ones. */
  readonly to: Expr;
  readonly padded: number;
  readonly group: number;
  readonly bytes: string;
  /** The same, four to a word. */
  readonly words: string;
  readonly pairs: string | undefined;
  readonly scales: string;
  readonly sums: readonly StagedSums[];
}

function quantiseRow(ctx: LowerContext, { largest }: Activation, r: RowOfCodes): Stmt[] {
  const { builder: b, machine } = ctx;
  const { lanes } = machine;
  const vector = r.group % lanes === 0 ? lanes : 4;
  const g = b.fresh('group');
  const first = named(b.fresh('first'), mul(variable(g), int(r.group)));
  const xAt = (i: Expr): Expr => load(r.row, add(add(r.base, first.ref), i), 'f32', vector);
  const most = b.fresh('most');
  const acc = readRegister(most, 0, vector);
  const i = b.fresh('i');
  const magnitude = [
    registers(most, 1, vector),
    loop(
      i,
      0,
      r.group,
      [store(most, 0, max(acc, unary('abs', xAt(variable(i)))))],
      'vector',
      vector,
    ),
  ];
  const quantised = codesBelow(b, reduceAllLanes(acc, max), largest);
  const j = b.fresh('i');
  const whole = quantised.codeOf(xAt(variable(j)));
  const codeAt = (e: Expr): Expr => add(add(mul(r.to, int(r.padded)), first.ref), e);
  const codes = loop(j, 0, r.group, [store(r.bytes, codeAt(variable(j)), whole)], 'vector', vector);
  const perRow = r.padded / r.group;
  const groupStmts: Stmt[] = [
    first.stmt,
    ...magnitude,
    ...quantised.stmts,
    store(r.scales, add(mul(r.to, int(perRow)), variable(g)), quantised.scale),
    codes,
  ];
  return [
    loop(g, 0, perRow, groupStmts),
    ...(r.pairs === undefined ? [] : [pairsOfRow(ctx, r, r.pairs)]),
    ...r.sums.flatMap((s) => sumsOfRow(ctx, r, s)),
  ];
}

/** The row's codes once more, each in 16 bits. */
function pairsOfRow({ builder: b }: LowerContext, r: RowOfCodes, pairs: string): Stmt {
  const i = b.fresh('i');
  const words = r.padded / 4;
  const codes = load(r.words, add(mul(r.to, int(words)), variable(i)), 'i32', 4);
  const to = mul(add(mul(r.to, int(words)), variable(i)), int(2));
  const [low, high] = pairsOf(codes, true);
  const stores = [store(pairs, to, low), store(pairs, add(to, int(4)), high)];
  return loop(i, 0, words, stores, 'vector', 4);
}

/** Sums of codes over parts of the row: products of bytes with ones. */
function sumsOfRow(ctx: LowerContext, r: RowOfCodes, s: RowOfCodes['sums'][number]): Stmt[] {
  const { builder: b, machine } = ctx;
  const vector = [16, 8].find((l) => l <= machine.lanes && (s.part / 4) % l === 0) ?? 4;
  const part = b.fresh('part');
  const total = b.fresh('total');
  const acc = readRegister(total, 0, vector, 'i32');
  const i = b.fresh('i');
  const first = add(mul(r.to, int(r.padded / 4)), mul(variable(part), int(s.part / 4)));
  const codes = load(r.words, add(first, variable(i)), 'i32', vector);
  const ones = { ...int(0x01010101), lanes: vector };
  const sum = reduceAllLanes(acc, add);
  const perRow = r.padded / r.group;
  const scaleIndexOf = add(mul(r.to, int(perRow)), arithmetic('div', mul(variable(part), int(s.part)), int(r.group))); // prettier-ignore
  const value =
    s.factor === undefined
      ? mul(cast(sum, 'f32'), load(r.scales, scaleIndexOf))
      : mul(sum, int(s.factor));
  return [
    loop(part, 0, s.perRow, [
      registers(total, 1, vector, 'i32'),
      loop(i, 0, s.part / 4, [store(total, 0, dot4('i8i7', codes, ones, acc))], 'vector', vector),
      store(s.tile, add(mul(r.to, int(s.perRow)), variable(part)), value),
    ]),
  ];
}
