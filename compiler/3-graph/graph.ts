/**
 * The graph: an ordered list of op nodes in which every value is named once (ANF), with layer loops
 * kept as loops. Shapes are concrete but for the step symbols `t`, `r` and `c`.
 *
 * Numerics are explicit: a weight has its stored type, and a `cast` node widens it. Spans live
 * beside the nodes (`origins`), so that equal computations are equal data.
 */
import type { Span } from '../base/source.ts';
import type { TensorType } from '../base/type.ts';
import type { Attrs, StateSpec, StepField } from '../ops/op.ts';
import type { OpName } from '../ops/index.ts';

/** Values are numbered uniquely over the whole graph, loops included; printed `%7`. */
export type ValueId = number;

export interface Graph {
  readonly name: string;
  readonly nodes: readonly Node[];
  readonly results: readonly ValueId[];
  readonly types: ReadonlyMap<ValueId, TensorType>;
  readonly origins: ReadonlyMap<ValueId, Span>;
}

export type Node = StepNode | InputNode | WeightNode | ConstantNode | OpNode | LoopNode;

/** An array of the step signature. */
export interface StepNode {
  readonly kind: 'step';
  readonly field: Extract<StepField, 'ids' | 'position' | 'rows'>;
  readonly result: ValueId;
}

/** A tensor that whoever runs the graph gives: what a block takes that is a model of its own. */
export interface InputNode {
  readonly kind: 'input';
  readonly name: string;
  readonly result: ValueId;
}

/** A stored weight. `name` is the model's path, with a placeholder `{1+3i}` inside a loop. */
export interface WeightNode {
  readonly kind: 'weight';
  readonly name: string;
  /** Name in the checkpoint, as `WeightDecl.source`. */
  readonly source: string;
  /** How the checkpoint keeps it, as `printScheme` writes it: the value is what that has left. */
  readonly scheme?: string;
  readonly result: ValueId;
}

/** A scalar, shape []. */
export interface ConstantNode {
  readonly kind: 'constant';
  readonly value: number;
  readonly result: ValueId;
}

export interface OpNode {
  readonly kind: 'op';
  readonly op: OpName;
  readonly inputs: readonly ValueId[];
  readonly attrs: Attrs;
  readonly results: readonly ValueId[];
  /** The state that the op keeps: its name (a placeholder inside a loop) and shape. */
  readonly state?: { readonly name: string; readonly spec: StateSpec };
}

/**
 * Runs `body` for iterations 0 .. count-1. In the first iteration `param` is `initial`; in each
 * later one it is what `next` was; `result` is the last `next`. Bodies may use outer values.
 */
export interface LoopNode {
  readonly kind: 'loop';
  readonly count: number;
  readonly carried: readonly Carried[];
  readonly body: readonly Node[];
}

export interface Carried {
  readonly initial: ValueId;
  readonly param: ValueId;
  readonly next: ValueId;
  readonly result: ValueId;
}

export function resultsOf(node: Node): readonly ValueId[] {
  switch (node.kind) {
    case 'step':
    case 'input':
    case 'weight':
    case 'constant':
      return [node.result];
    case 'op':
      return node.results;
    case 'loop':
      return node.carried.map((c) => c.result);
  }
}

/** Values that a node reads; for a loop also what its body takes from outside. */
export function inputsOf(node: Node): readonly ValueId[] {
  switch (node.kind) {
    case 'step':
    case 'input':
    case 'weight':
    case 'constant':
      return [];
    case 'op':
      return node.inputs;
    case 'loop': {
      const inside = new Set<ValueId>(node.carried.map((c) => c.param));
      for (const n of node.body) for (const r of resultsOf(n)) inside.add(r);
      const outer = node.body.flatMap((n) => inputsOf(n)).filter((v) => !inside.has(v));
      return [...node.carried.map((c) => c.initial), ...new Set(outer)];
    }
  }
}
