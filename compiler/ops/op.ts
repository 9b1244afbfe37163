/**
 * The contract of a primitive op: one record in one file says everything that the compiler knows
 * about it. Passes read the record's properties and never its name.
 */
import type { Dim } from '../base/dim.ts';
import type { OpCode } from '../base/messages/ops.ts';
import { CompilerBug } from '../base/invariant.ts';
import type { QuantScheme } from '../base/scheme.ts';
import type { DType, TensorType } from '../base/type.ts';
import type { Expr, ScalarFn } from '../scalar/expr.ts';
import type { Monoid } from '../scalar/monoid.ts';

/** Attribute values: plain data, so that any graph prints, reads back and hashes. */
export type AttrValue = number | boolean | string | readonly number[] | ScalarFn;
export type Attrs = Readonly<Record<string, AttrValue>>;
export type NoAttrs = Readonly<Record<string, never>>;

export type AttrKind = 'int' | 'real' | 'bool' | 'text' | 'ints' | 'reals' | 'fn';

/** How a template writes an attribute: `attend(q, k, v, scale = 0.125, mask = causal)`. */
export interface AttrSpec {
  readonly kind: AttrKind;
  readonly doc: string;
  /** Absent: the argument must be given. */
  readonly default?: AttrValue;
  /** kind `fn`: the names bound by `|i, j|`, in order, with their types. */
  readonly params?: readonly {
    readonly name: string;
    readonly dtype: 'f32' | 'i32';
    /** The position of a pair's query or key: which row of a tensor with rows it picks. */
    readonly row?: 'query' | 'key';
  }[];
  /** kind `fn`: the type of the result. */
  readonly result?: 'f32' | 'bool';
}

/** A mistake in the use of an op; the checker turns operand numbers into places in the source. */
export interface Problem {
  readonly problem: OpCode;
  /** Lower case, no full stop: says the rule and the two values that break it. */
  readonly text: string;
  /** Operands to point at; the first is where to edit. */
  readonly operands: readonly number[];
  readonly help?: string;
}

export interface Cost {
  readonly flops: number;
  /** Bytes of weights, of cached state, and of activations that the op must read or write. */
  readonly weightBytes: number;
  readonly stateBytes: number;
  readonly activationBytes: number;
}

/** A dense row-major array of doubles: what the reference interpreter computes with. */
export interface NdArray {
  readonly shape: readonly number[];
  readonly data: Float64Array;
}

/**
 * The ragged signature of a step. Token n belongs to sequence `sequence[n]`, stands at
 * `position[n]`, writes its keys and values to cache slot `slot[n]`, and sees the first `length[n]`
 * entries of its sequence (its own included). Entry e of sequence s lies in slot
 * `table[s * blocksPerSequence + floor(e / block)] * block + e % block`.
 */
export interface Step {
  readonly ids: Int32Array; // [t]
  readonly sequence: Int32Array; // [t]
  readonly position: Int32Array; // [t]
  readonly slot: Int32Array; // [t]
  readonly length: Int32Array; // [t]
  /** Rows of the step that want results. */
  readonly rows: Int32Array; // [r]
  readonly table: Int32Array; // [sequences, blocksPerSequence]
  readonly blocksPerSequence: number;
  /** Entries in a block of the paged cache. */
  readonly block: number;
}

/** The arrays of a step that an op may read without naming them as operands. */
export type StepField = 'ids' | 'sequence' | 'position' | 'slot' | 'length' | 'rows' | 'table';

/** A state that an op keeps between steps: one row of `row` elements for each cache slot. */
export interface StateSpec {
  /** Shape of what one slot holds, such as `[kv_heads, head]`. */
  readonly row: readonly number[];
  readonly dtype: DType;
}

/** Interpreter's side of state: rows by cache slot, and the position that each slot stands at. */
export interface StateStore {
  /** The row of `slot` in the state `name`; created as zeros. */
  row(name: string, slot: number, size: number): Float64Array;
  /** Position of the token whose entry is in `slot`; one array for all states. */
  positionOf(slot: number): number;
  setPosition(slot: number, position: number): void;
}

export interface EvalContext {
  readonly step: Step;
  readonly state: StateStore;
}

/**
 * What an op does, in terms that every machine class lowers generically.
 *
 * - `loops`: each result element is an expression of operand elements, maybe under a reduction
 * - `view`: the operand's elements in the same row-major order under another shape
 * - `append`: stores operand 0's row of each token into the state of its slot
 * - `attend`: softmax over the cached entries of a token's sequence, weighted sum of values
 * - `top`: the largest `count` elements of the last axis and their indices, ties to the lower index
 * - `interpreted`: only the reference interpreter has it; no program is made of it
 */
export type Lowered =
  | { readonly kind: 'loops'; readonly results: readonly Loops[] }
  | { readonly kind: 'view' }
  | { readonly kind: 'append' }
  | {
      readonly kind: 'attend';
      readonly monoid: Monoid;
      readonly scale: number;
      /** |score, i, j, head|: i and j are positions of query and key. */
      readonly score: ScalarFn;
      /** |i, j, head| */
      readonly mask: ScalarFn;
      /** False: weights are e^score as they are. */
      readonly normalise: boolean;
      /** |head, i|: a score without a value that takes part in the softmax. */
      readonly sink?: ScalarFn;
      /**
       * Only the `count` blocks of `each` positions of largest mean |i, j, head| are seen, ties to
       * the earlier.
       */
      readonly select?: { readonly count: number; readonly each: number; readonly by: ScalarFn };
    }
  | { readonly kind: 'top'; readonly count: number }
  /** What is left of operand 0 when it was stored in the scheme. */
  | { readonly kind: 'quantise'; readonly scheme: QuantScheme }
  | { readonly kind: 'interpreted' };

export interface Loops {
  /** The result's shape; axis 0 is the step's own (`t` or `r`) wherever an operand's is. */
  readonly over: readonly Dim[];
  /**
   * Bodies by range of the last axis, in order: piece p covers up to `until`; the last one's is the
   * axis. More than one lets a body change on the way without a branch (RoPE's halves).
   */
  readonly pieces: readonly LoopPiece[];
  /** Reduction over an inner index k of this extent. */
  readonly reduce?: { readonly monoid: Monoid; readonly extent: Dim };
}

export interface LoopPiece {
  readonly until: Dim;
  /** `index`: one expression per axis of `over`; `k`: the reduced index (a constant 0 without). */
  body(index: readonly Expr[], k: Expr): Expr;
}

export interface OpDef<A extends Attrs = Attrs> {
  /** One sentence, for `spec/ops.md`. */
  readonly doc: string;
  readonly operands: readonly string[];
  /** Operands beyond the required ones may be left out of a call when true for the last `optional`. */
  readonly optional?: number;
  readonly results: readonly string[];
  /** What templates write; the order of keys is the order of positional attributes. */
  readonly attrs: { readonly [K in keyof A]: AttrSpec };
  /** Step arrays that the op reads. */
  readonly step?: readonly StepField[];
  /**
   * Operands that a call writes as this step's rows and that the op reads from a state: the call
   * passes each through the op `cache`, whose state is named after the instance and the operand.
   */
  readonly cached?: readonly number[];
  /**
   * More operands may follow the named ones: tensors that the op's functions read with `at`. One
   * whose rows are those of a cache ([c, ..]) is read at the key of a pair, one with the step's own
   * rows ([t, ..]) at its query, any other as a table.
   */
  readonly captures?: true;
  /** The operand `weights` is read only where the numbers in the operand `ids` say. */
  readonly chosen?: { readonly weights: number; readonly ids: number };
  /** What selectors call a weight that it picks rows of: `:embedding`. */
  readonly table?: { readonly operand: number; readonly kind: string };
  /** What selectors call an instance that computes it: `:attention`. */
  readonly kind?: string;
  /**
   * A product of operand 0 with a matrix, linear in both: with B A for the matrix it is the product
   * with A and then with B, the other operands the same. `stored`: which way the matrix's last two
   * axes lie, result by inner or inner by result.
   */
  readonly product?: {
    readonly matrix: number;
    stored(attrs: A): 'nk' | 'kn';
  };
  /** Types of the results, with symbolic dimensions allowed, or what is wrong. */
  infer(inputs: readonly TensorType[], attrs: A): readonly TensorType[] | Problem;
  /** The state the op keeps, if it does. The graph names it. */
  state?(inputs: readonly TensorType[], attrs: A): StateSpec;
  /** `keys`: cached entries that a token sees on average; for ops that attend. */
  cost(
    inputs: readonly TensorType<number>[],
    outputs: readonly TensorType<number>[],
    attrs: A,
    keys: number,
  ): Cost;
  /** The meaning, in double precision: naive, obvious, slow. `state`: the name of the op's state. */
  evaluate(
    inputs: readonly NdArray[],
    outputs: readonly TensorType<number>[],
    attrs: A,
    context: EvalContext,
    state: string,
  ): readonly NdArray[];
  /**
   * An op that stands for others: builds them with `call` (value numbers in, the first result out)
   * when the graph is made. Such an op is never lowered itself.
   */
  expand?(
    call: (op: string, inputs: readonly number[], attrs: Attrs) => number,
    inputs: readonly number[],
    attrs: A,
  ): readonly number[];
  lower(inputs: readonly TensorType[], outputs: readonly TensorType[], attrs: A): Lowered;
  readonly samples: readonly Sample<A>[];
}

/** A small case of an op, for differential tests. */
export interface Sample<A extends Attrs = Attrs> {
  /** Operand types as text: `f32[t, 3] f32[4, 3]`; `t` is 5 in tests, `r` 2. */
  readonly inputs: string;
  readonly attrs: A;
  /** Largest accepted |difference| / max(1, |reference|); the comment says why it is what it is. */
  readonly tolerance: number;
  /** Integer operands are drawn below this bound (ids, expert numbers). */
  readonly below?: number;
  /** Real operands are drawn positive. */
  readonly positive?: boolean;
}

export const isProblem = (r: readonly TensorType[] | Problem): r is Problem => 'problem' in r;

export const noCost: Cost = { flops: 0, weightBytes: 0, stateBytes: 0, activationBytes: 0 };

/** The lowering of an op that is expanded before any. */
export function expandedOp(): never {
  throw new CompilerBug('compiler bug: an op that stands for others reached lowering');
}

/** Keeps an op's attribute type while checking the record against the contract. */
export const defineOp = <A extends Attrs>(def: OpDef<A>): OpDef<A> => def;
