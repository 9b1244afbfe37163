/**
 * The typed model: names resolved, every expression typed, every compile-time choice made, repeats
 * folded. It keeps the tree of instances that sheets select in and that `inspect` prints.
 */
import type { Span } from '../base/source.ts';
import type { DType, TensorType } from '../base/type.ts';
import type { Attrs } from '../ops/op.ts';
import type { OpName } from '../ops/index.ts';
import type { ScalarFn } from '../scalar/expr.ts';

/** A compile-time value. Lists are of one kind; blocks appear as values of block parameters. */
export type Value =
  | { readonly kind: 'int' | 'real'; readonly value: number }
  | { readonly kind: 'bool'; readonly value: boolean }
  | { readonly kind: 'text'; readonly value: string }
  | { readonly kind: 'list'; readonly items: readonly Value[] }
  | { readonly kind: 'fn'; readonly fn: ScalarFn }
  | { readonly kind: 'block'; readonly name: string };

export interface Model {
  readonly name: string;
  readonly params: ReadonlyMap<string, Value>;
  readonly inputs: readonly ModelInput[];
  readonly body: Body;
  /** Logits, [t, vocab]; of a block that is a model of its own, whatever it returns. */
  readonly results: readonly TypedExpr[];
}

/** `ids`: token ids, i32 [t], of the step; `caller`: a tensor that whoever runs the model gives. */
export interface ModelInput {
  readonly name: string;
  readonly type: TensorType;
  readonly from: 'ids' | 'caller';
}

/**
 * Statements with the weights and instances they own. Inside a repeat, paths hold a placeholder for
 * the layer, `layers.{1+3i}.self_attn`: layer 1 + 3 i in iteration i.
 */
export interface Body {
  readonly weights: readonly WeightDecl[];
  readonly instances: readonly Instance[];
  readonly statements: readonly Statement[];
}

export interface WeightDecl {
  /** Name in the model, such as `layers.{0+1i}.self_attn.q_proj`: what sheets select by. */
  readonly path: string;
  /**
   * Name in the checkpoint, with the same placeholder; `*` stands for the numbers 0 .. n-1 of the
   * leading axis, when the checkpoint keeps one tensor each. A checkpoint may add `.weight`.
   */
  readonly source: string;
  readonly type: TensorType;
  /** The element type that a sheet stores it as; absent where it stays as the checkpoint has it. */
  readonly stored?: DType;
  readonly span: Span;
  /** One of the two matrices of an adapter. */
  readonly adapter?: true;
}

export interface InstanceInput {
  readonly name: string;
  readonly type: TensorType;
  /** The caller's name of a tensor that is no argument: a function handed to the block reads it. */
  readonly outer?: string;
}

/** A `use`d block with its parameters bound. */
export interface Instance {
  readonly path: string;
  readonly block: string;
  readonly params: ReadonlyMap<string, Value>;
  readonly inputs: readonly InstanceInput[];
  readonly body: Body;
  readonly results: readonly TypedExpr[];
  readonly span: Span;
}

export type Statement =
  { readonly kind: 'let'; readonly names: readonly string[]; readonly value: TypedExpr } | Repeat;

/**
 * Layers, folded: the runs follow each other; a run's bodies (one period of a pattern) are executed
 * in order, `count` times. `carried` names are read by an iteration and written for the next.
 */
export interface Repeat {
  readonly kind: 'repeat';
  /** What paths of its layers begin with: `layers`. */
  readonly path: string;
  readonly carried: readonly { readonly name: string; readonly type: TensorType }[];
  readonly runs: readonly Run[];
  readonly span: Span;
}

export interface Run {
  /** Number of the first layer; body b of iteration i is layer first + i * bodies.length + b. */
  readonly first: number;
  readonly count: number;
  /** Each assigns every carried name it changes by a `let`. */
  readonly bodies: readonly Body[];
}

interface ExprBase {
  readonly span: Span;
  /** One for each result. */
  readonly types: readonly TensorType[];
}

export type TypedExpr =
  | (ExprBase & { readonly kind: 'local'; readonly name: string })
  | (ExprBase & { readonly kind: 'weight'; readonly weight: WeightDecl })
  /** A number used as a tensor: a scalar, shape []. */
  | (ExprBase & { readonly kind: 'constant'; readonly value: number })
  /** A step array: `positions`, `rows`. */
  | (ExprBase & { readonly kind: 'step'; readonly field: 'ids' | 'position' | 'rows' })
  | (ExprBase & {
      readonly kind: 'op';
      readonly op: OpName;
      readonly inputs: readonly TypedExpr[];
      readonly attrs: Attrs;
      /** Name of the state an op keeps, such as `layers.{0+1i}.self_attn.k`. */
      readonly state?: string;
    })
  | (ExprBase & {
      readonly kind: 'call';
      readonly instance: Instance;
      readonly inputs: readonly TypedExpr[];
    })
  | (ExprBase & { readonly kind: 'pick'; readonly from: TypedExpr; readonly index: number });

/** `layers.{1+3i}.x` in iteration 2 is `layers.7.x`; names without a placeholder stay. */
export const nameAt = (pattern: string, iteration: number): string =>
  pattern.replace(/\{(\d+)\+(\d+)i\}/g, (_, base: string, stride: string) =>
    String(Number(base) + Number(stride) * iteration),
  );
