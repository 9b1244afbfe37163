/** Tables of 16 bytes, looked up by one shuffle of bytes. */
import { invariant } from '../base/invariant.ts';
import type { ExprOf } from '../scalar/expr.ts';
import { inParts } from './llvm-dot4.ts';
import { type LlvmBody, type LlvmFeatures, assign, call, llvmType, of } from './llvm-value.ts';

/** Bytes 0 .. 15 of `a` as the entries of the table that they number. */
export function emitLookup(
  body: LlvmBody,
  features: LlvmFeatures,
  { lanes, table }: ExprOf<'lookup'>,
  a: string,
): string {
  if (lanes === 1) {
    const type = llvmType('i32', 4);
    const word = assign(body, `insertelement ${type} zeroinitializer, i32 ${a}, i32 0`);
    const found = shuffled(body, features, 4, table, word);
    return assign(body, `extractelement ${type} ${found}, i32 0`);
  }
  invariant(lanes % 4 === 0, 'lanes of whole registers');
  const widest = features.arch === 'arm64' ? 4 : features.vnni ? 16 : 8;
  const each = lanes % widest === 0 ? widest : lanes % 8 === 0 && widest > 8 ? 8 : 4;
  return inParts(body, lanes, each, [a], ([part = '']) =>
    shuffled(body, features, each, table, part),
  );
}

const x64Names: Readonly<Record<number, string>> = {
  4: 'llvm.x86.ssse3.pshuf.b.128',
  8: 'llvm.x86.avx2.pshuf.b',
  16: 'llvm.x86.avx512.pshuf.b.512',
};

/** One instruction: x86 shuffles within each 16 bytes, so every 16 hold the table. */
function shuffled(
  body: LlvmBody,
  { arch }: LlvmFeatures,
  lanes: number,
  table: readonly number[],
  a: string,
): string {
  const [type, bytes] = [llvmType('i32', lanes), of('i8', 4 * lanes)];
  const entries = Array.from({ length: 4 * lanes }, (_, i) => `i8 ${table[i % 16] ?? 0}`);
  const index = assign(body, `bitcast ${type} ${a} to ${bytes}`);
  const name = arch === 'arm64' ? 'llvm.aarch64.neon.tbl1.v16i8' : x64Names[lanes];
  invariant(name !== undefined, () => `a shuffle of ${lanes} words`);
  const found = call(body, bytes, name, [
    [bytes, `<${entries.join(', ')}>`],
    [bytes, index],
  ]);
  return assign(body, `bitcast ${bytes} ${found} to ${type}`);
}
