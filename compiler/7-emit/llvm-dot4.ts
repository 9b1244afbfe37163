/** Products of four bytes, and of pairs of 16 bits: one instruction where the processor has it, exact everywhere. */
import type { ExprOf } from '../scalar/expr.ts';
import {
  type LlvmBody,
  type LlvmFeatures,
  assign,
  call,
  constant,
  llvmType,
  of,
} from './llvm-value.ts';

/** c + the sum of four byte products in each lane. `i8i7`: b is in 0 .. 127, so signed will do. */
export function emitDot4(
  body: LlvmBody,
  features: LlvmFeatures,
  e: Pick<ExprOf<'dot4'>, 'variant' | 'lanes'>,
  a: string,
  b: string,
  sum: string,
): string {
  const { lanes } = e;
  const type = llvmType('i32', lanes);
  if (features.vnni && e.variant !== 's8s8' && [4, 8, 16].includes(lanes)) {
    const name = `llvm.x86.avx512.vpdpbusd.${lanes * 32}`;
    const [unsigned, signed] = e.variant === 'u8s8' ? [a, b] : [b, a];
    return call(body, type, name, [
      [type, sum],
      [type, unsigned],
      [type, signed],
    ]);
  }
  const own = instructionOf(features, e);
  if (own && lanes % own.lanes === 0) {
    return inParts(body, lanes, own.lanes, [sum, a, b], (parts) => own.emit(body, parts));
  }
  const byte = (v: string, i: number, signed: boolean): string => {
    const up = assign(body, `shl ${type} ${v}, ${constant(24 - 8 * i, 'i32', lanes)}`);
    return assign(body, `${signed ? 'ashr' : 'lshr'} ${type} ${up}, ${constant(24, 'i32', lanes)}`);
  };
  let total = sum;
  for (let i = 0; i < 4; i++) {
    const [x, y] = [byte(a, i, e.variant !== 'u8s8'), byte(b, i, true)];
    total = assign(body, `add ${type} ${total}, ${assign(body, `mul ${type} ${x}, ${y}`)}`);
  }
  return total;
}

const picked = (picks: readonly number[]): string =>
  `<${picks.length} x i32> <${picks.map((p) => `i32 ${p}`).join(', ')}>`;
const upTo = (count: number): number[] => Array.from({ length: count }, (_, i) => i);

export function emitPairs(body: LlvmBody, e: ExprOf<'pairs'>, a: string): string {
  const [type, all] = [llvmType('i32', e.lanes), of('i8', 4 * e.lanes)];
  const [bytes, words] = [of('i8', 2 * e.lanes), of('i16', 2 * e.lanes)];
  const first = e.from === 'low' ? 0 : 2 * e.lanes;
  const pick = picked(upTo(2 * e.lanes).map((i) => first + i));
  const as = assign(body, `bitcast ${type} ${a} to ${all}`);
  const half = assign(body, `shufflevector ${all} ${as}, ${all} undef, ${pick}`);
  const wide = assign(body, `${e.signed ? 'sext' : 'zext'} ${bytes} ${half} to ${words}`);
  return assign(body, `bitcast ${words} ${wide} to ${type}`);
}

/** c + two products of 16 bits in each lane, in the form that LLVM has an instruction for. */
export function emitDot2(body: LlvmBody, lanes: number, a: string, b: string, c: string): string {
  const [type, words, wide] = [llvmType('i32', lanes), of('i16', 2 * lanes), of('i32', 2 * lanes)];
  const [x, y] = [a, b].map((v) => {
    const halves = assign(body, `bitcast ${type} ${v} to ${words}`);
    return assign(body, `sext ${words} ${halves} to ${wide}`);
  });
  const products = assign(body, `mul ${wide} ${x}, ${y}`);
  const [even, odd] = [0, 1].map((first) => {
    const pick = picked(upTo(lanes).map((i) => 2 * i + first));
    return assign(body, `shufflevector ${wide} ${products}, ${wide} undef, ${pick}`);
  });
  return assign(body, `add ${type} ${c}, ${assign(body, `add ${type} ${even}, ${odd}`)}`);
}

interface Dot4Instruction {
  /** Lanes of 32 bits that it has. */
  readonly lanes: number;
  emit(body: LlvmBody, [sum, a, b]: readonly string[]): string;
}

/** Instructions of one width, which wider vectors are cut for. */
function instructionOf(
  features: LlvmFeatures,
  e: Pick<ExprOf<'dot4'>, 'variant' | 'lanes'>,
): Dot4Instruction | undefined {
  if (features.arch === 'arm64' && e.variant !== 'u8s8') {
    const [type, bytes] = [llvmType('i32', 4), of('i8', 16)];
    return {
      lanes: 4,
      emit(body, [sum = '', ...pair]) {
        const [x = '', y = ''] = pair.map((v) => assign(body, `bitcast ${type} ${v} to ${bytes}`));
        return call(body, type, 'llvm.aarch64.neon.sdot.v4i32.v16i8', [
          [type, sum],
          [bytes, x],
          [bytes, y],
        ]);
      },
    };
  }
  if (features.arch === 'x64' && e.variant === 'i8i7') {
    // Pairs of products fit in 16 bits: 2 * 128 * 127.
    const lanes = e.lanes % 8 === 0 ? 8 : 4;
    const [type, bytes, words] = [
      llvmType('i32', lanes),
      of('i8', 4 * lanes),
      of('i16', 2 * lanes),
    ];
    const [pairs, halves] =
      lanes === 8
        ? ['llvm.x86.avx2.pmadd.ub.sw', 'llvm.x86.avx2.pmadd.wd']
        : ['llvm.x86.ssse3.pmadd.ub.sw.128', 'llvm.x86.sse2.pmadd.wd'];
    const ones = `<${Array.from({ length: 2 * lanes }, () => 'i16 1').join(', ')}>`;
    return {
      lanes,
      emit(body, [sum = '', a = '', b = '']) {
        const [x, y] = [a, b].map((v) => assign(body, `bitcast ${type} ${v} to ${bytes}`));
        const products = call(body, words, pairs, [
          [bytes, y ?? b],
          [bytes, x ?? a],
        ]);
        const four = call(body, type, halves, [
          [words, products],
          [words, ones],
        ]);
        return assign(body, `add ${type} ${sum}, ${four}`);
      },
    };
  }
  return undefined;
}

/** Vectors of `lanes` cut into parts of `each`, worked on one by one, and put together again. */
export function inParts(
  body: LlvmBody,
  lanes: number,
  each: number,
  values: readonly string[],
  work: (parts: readonly string[]) => string,
): string {
  if (lanes === each) return work(values);
  const type = llvmType('i32', lanes);
  const pick = (from: number, count: number): string =>
    `<${count} x i32> <${Array.from({ length: count }, (_, i) => `i32 ${from + i}`).join(', ')}>`;
  const results: string[] = [];
  for (let from = 0; from < lanes; from += each) {
    const parts = values.map((v) =>
      assign(body, `shufflevector ${type} ${v}, ${type} undef, ${pick(from, each)}`),
    );
    results.push(work(parts));
  }
  let width = each;
  let joined = results;
  while (joined.length > 1) {
    const of = llvmType('i32', width);
    joined = Array.from({ length: joined.length / 2 }, (_, i) =>
      assign(
        body,
        `shufflevector ${of} ${joined[2 * i]}, ${of} ${joined[2 * i + 1]}, ${pick(0, 2 * width)}`,
      ),
    );
    width *= 2;
  }
  return joined[0] ?? '';
}
