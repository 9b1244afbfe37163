/** Products of four bytes: one instruction where the processor has it, exact everywhere. */
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
  e: ExprOf<'dot4'>,
  a: string,
  b: string,
  sum: string,
): string {
  const { lanes } = e;
  const type = llvmType('i32', lanes);
  if (features.vnni && e.variant === 'u8s8' && [4, 8, 16].includes(lanes)) {
    const name = `llvm.x86.avx512.vpdpbusd.${lanes * 32}`;
    return call(body, type, name, [
      [type, sum],
      [type, a],
      [type, b],
    ]);
  }
  if (features.arch === 'arm64' && e.variant !== 'u8s8' && lanes === 4) {
    const bytes = of('i8', 16);
    const [x, y] = [a, b].map((v) => assign(body, `bitcast ${type} ${v} to ${bytes}`));
    return call(body, type, 'llvm.aarch64.neon.sdot.v4i32.v16i8', [
      [type, sum],
      [bytes, x ?? a],
      [bytes, y ?? b],
    ]);
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
