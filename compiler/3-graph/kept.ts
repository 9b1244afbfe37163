/** What ops cost that read weights: bytes as weights are kept, not as the op's operands are typed. */
import { type QuantScheme, bundleBitsPerElement } from '../base/scheme.ts';
import { type TensorType, bytesOf } from '../base/type.ts';
import { type OpName, opOf } from '../ops/index.ts';
import type { Attrs, Cost } from '../ops/op.ts';

/** An operand of an op. */
export interface KeptOperand {
  /** Of a weight with the element type that it is stored as. */
  readonly type: TensorType<number>;
  /** Of a weight: bits that an element takes, scales included. */
  readonly bits?: number;
}

/** Bits of an element of a weight of this shape; stacked matrices are quantised one by one. */
export function keptBits(scheme: QuantScheme, shape: readonly number[]): number {
  const [columns = 1, rows = 1] = [...shape].reverse();
  return bundleBitsPerElement(scheme, rows, columns);
}

export function costAsKept(
  op: OpName,
  inputs: readonly KeptOperand[],
  results: readonly TensorType<number>[],
  attrs: Attrs,
  keys: number,
): Cost {
  const cost = opOf(op).cost(
    inputs.map((i) => i.type),
    results,
    attrs,
    keys,
  );
  let [typed, kept] = [0, 0];
  for (const { type, bits } of inputs) {
    if (bits === undefined) continue;
    const size = type.shape.reduce((a, b) => a * b, 1);
    typed += size * bytesOf[type.dtype];
    kept += (size * bits) / 8;
  }
  return kept === typed ? cost : { ...cost, weightBytes: (cost.weightBytes * kept) / typed };
}
