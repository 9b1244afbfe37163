/** Shape rules and array access shared by ops. */
import { type Dim, constantDim, sameDim, showShape } from '../base/dim.ts';
import { invariant, present } from '../base/invariant.ts';
import { type DType, type TensorType, isFloat } from '../base/type.ts';
import { type Expr, at, int } from '../scalar/expr.ts';
import { type NdArray, type Problem, isProblem } from './op.ts';

export const sizeOf = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);

/** The shape that two broadcast to, aligned from the right; sizes agree or one of them is 1. */
export function broadcast(a: readonly Dim[], b: readonly Dim[]): readonly Dim[] | undefined {
  const rank = Math.max(a.length, b.length);
  const out: Dim[] = [];
  for (let axis = 0; axis < rank; axis++) {
    const x = a[axis - (rank - a.length)] ?? 1;
    const y = b[axis - (rank - b.length)] ?? 1;
    if (sameDim(x, y) || y === 1) out.push(x);
    else if (x === 1) out.push(y);
    else return undefined;
  }
  return out;
}

export const differ = (what: string, a: TensorType, b: TensorType): Problem => ({
  problem: 'shape/differ',
  text: `${what}: shapes ${showShape(a.shape)} and ${showShape(b.shape)} do not fit`,
  operands: [0, 1],
});

export const wrongRank = (what: string, operand: number, rank: string, t: TensorType): Problem => ({
  problem: 'shape/rank',
  text: `${what}: expected ${rank}, found ${showShape(t.shape)}`,
  operands: [operand],
});

export const wrongType = (what: string, operand: number, expected: string, d: DType): Problem => ({
  problem: 'type/element',
  text: `${what}: expected ${expected}, found ${d}`,
  operands: [operand],
});

/** f32 unless an operand is not a float, which is a mistake. */
export function needFloats(what: string, inputs: readonly TensorType[]): Problem | undefined {
  const wrong = inputs.findIndex((t) => !isFloat(t.dtype));
  return wrong < 0 ? undefined : wrongType(what, wrong, 'numbers', present(inputs[wrong]).dtype);
}

/** Index of an operand for an index of the broadcast result. */
export function broadcastIndex(operand: TensorType, index: readonly Expr[]): readonly Expr[] {
  const shift = index.length - operand.shape.length;
  return operand.shape.map((d, axis) => (d === 1 ? int(0) : present(index[axis + shift])));
}

export const readBroadcast = (n: number, operand: TensorType, index: readonly Expr[]): Expr =>
  at(n, broadcastIndex(operand, index), operand.dtype === 'i32' ? 'i32' : 'f32');

export const array = (shape: readonly number[]): NdArray => ({
  shape,
  data: new Float64Array(sizeOf(shape)),
});

/** Row-major strides. */
export function stridesOf(shape: readonly number[]): number[] {
  const strides = shape.map(() => 1);
  for (let i = shape.length - 2; i >= 0; i--) {
    strides[i] = present(strides[i + 1]) * present(shape[i + 1]);
  }
  return strides;
}

/** Offsets into an operand for each element of the broadcast result, in row-major order. */
export function broadcastOffsets(
  operand: readonly number[],
  result: readonly number[],
): Int32Array {
  const shift = result.length - operand.length;
  const own = stridesOf(operand);
  const steps = result.map((_, axis) => {
    const a = axis - shift;
    return a < 0 || operand[a] === 1 ? 0 : present(own[a]);
  });
  const offsets = new Int32Array(sizeOf(result));
  const index = result.map(() => 0);
  let offset = 0;
  for (let n = 0; n < offsets.length; n++) {
    offsets[n] = offset;
    for (let axis = result.length - 1; axis >= 0; axis--) {
      index[axis] = present(index[axis]) + 1;
      offset += present(steps[axis]);
      if (present(index[axis]) < present(result[axis])) break;
      offset -= present(steps[axis]) * present(result[axis]);
      index[axis] = 0;
    }
  }
  return offsets;
}

/** The single result type of an inference that cannot fail here (its operands were checked). */
export function only(types: readonly TensorType[] | Problem): TensorType {
  invariant(!isProblem(types), 'operands were checked');
  return present(types[0]);
}

/** The number a dimension is; op lowering runs on concrete shapes. */
export function number(d: Dim | undefined): number {
  const n = d === undefined ? undefined : constantDim(d);
  invariant(n !== undefined, 'a concrete dimension');
  return n;
}
