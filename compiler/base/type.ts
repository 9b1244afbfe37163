import { type Dim, sameShape, showShape } from './dim.ts';

/** Element types of tensors, in graphs, checkpoints and bundles. */
export type DType = 'f64' | 'f32' | 'f16' | 'bf16' | 'i32' | 'u32' | 'i8' | 'u8' | 'bool';

export const bytesOf: Readonly<Record<DType, number>> = {
  f64: 8,
  f32: 4,
  f16: 2,
  bf16: 2,
  i32: 4,
  u32: 4,
  i8: 1,
  u8: 1,
  bool: 1,
};

export const isFloat = (d: DType): boolean =>
  d === 'f64' || d === 'f32' || d === 'f16' || d === 'bf16';

/** A tensor's element type and shape. Graph shapes are concrete but for the step's own symbols. */
export interface TensorType<D extends Dim = Dim> {
  readonly dtype: DType;
  readonly shape: readonly D[];
}

export const tensor = (dtype: DType, ...shape: Dim[]): TensorType => ({ dtype, shape });

export const sameType = (a: TensorType, b: TensorType): boolean =>
  a.dtype === b.dtype && sameShape(a.shape, b.shape);

export const showType = (t: TensorType): string => `${t.dtype}${showShape(t.shape)}`;

/**
 * The symbols that stay open until a step runs. Everything else is a number once a model has its
 * parameters.
 *
 * - `t`: tokens in the step
 * - `r`: rows of the step whose results are asked for (the positions that want logits)
 * - `c`: cached entries that one token may see; differs from token to token
 */
export const stepSymbols = ['t', 'r', 'c'] as const;
export type StepSymbol = (typeof stepSymbols)[number];
