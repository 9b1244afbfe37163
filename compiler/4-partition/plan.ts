/**
 * The plan: the graph cut into regions, each of which becomes one kernel, in an order that respects
 * their data; which values live in memory between regions; and how each weight is laid out.
 */
import type { DType } from '../base/type.ts';
import type { ConstantNode, Graph, OpNode, StepNode, ValueId } from '../3-graph/graph.ts';
import type { Lowered } from '../ops/op.ts';
import type { WeightLayout } from '../5-kernel/layout.ts';

export interface Plan {
  readonly name: string;
  readonly graph: Graph;
  readonly items: readonly PlanItem[];
  /** Values that live in memory between regions, by the buffer that holds them. */
  readonly buffers: ReadonlyMap<ValueId, Buffer>;
  /** Weights by every value that stands for one: the stored weight and its widened form. */
  readonly weights: ReadonlyMap<ValueId, PlannedWeight>;
  /** What each op of the graph does, by the values it defines. */
  readonly producers: ReadonlyMap<ValueId, NodeFacts>;
  /** Values that need no computing: numbers and arrays of the step. */
  readonly leaves: ReadonlyMap<ValueId, ConstantNode | StepNode>;
  readonly result: ValueId;
}

export type PlanItem =
  | { readonly kind: 'region'; readonly region: Region }
  | {
      readonly kind: 'loop';
      readonly loop: number;
      readonly count: number;
      readonly items: readonly PlanItem[];
    };

/** The step symbol that a value has a row for each of. */
export type RowAxis = 't' | 'r';

/** A row-major array [rows, width] in the arena; a number of rows that no step changes, or one for each of the step's. */
export interface Buffer {
  readonly id: number;
  readonly name: string;
  readonly rows: RowAxis | number;
  readonly width: number;
  readonly dtype: DType;
}

export interface PlannedWeight {
  readonly id: number;
  /** Path in the model and name in the checkpoint, with the placeholder of the loop. */
  readonly name: string;
  readonly source: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly layout: WeightLayout;
  /** Number of the loop that the weight belongs to, or undefined outside loops. */
  readonly loop: number | undefined;
}

interface RegionBase {
  readonly name: string;
  readonly axis: RowAxis;
  /** Values read from and written to memory; an append writes its state, named by its result. */
  readonly reads: readonly ValueId[];
  readonly writes: readonly ValueId[];
}

/**
 * - `rows`: computes `stores` row by row (a row is a token), with whatever is needed on the way
 * - `contract`: products with weights, parallel over units of output columns; norms and gathers that
 *   make an operand are computed on the way in, element-wise work on the way out
 * - `attend`: attention over the cache, parallel over tokens and heads
 * - `merge`: combines the parts that attention left for one token in several threads
 * - `copy`: a value to the buffer of another, where a loop's values could not share one
 */
export type Region =
  | (RegionBase & {
      readonly kind: 'rows';
      readonly stores: readonly ValueId[];
      readonly appends: readonly NodeFacts[];
    })
  | (RegionBase & { readonly kind: 'contract'; readonly groups: readonly Group[] })
  | (RegionBase & {
      readonly kind: 'attend';
      readonly facts: NodeFacts;
      /** Where parts of tokens' keys are left that threads worked on, if keys are cut into parts. */
      readonly parts?: ValueId;
    })
  | (RegionBase & { readonly kind: 'merge'; readonly facts: NodeFacts; readonly parts: ValueId })
  | (RegionBase & { readonly kind: 'copy'; readonly from: ValueId; readonly to: ValueId });

/**
 * Contractions that are computed together unit by unit, and what follows them. A unit is `unit`
 * consecutive output columns; whatever follows needs no column of another unit.
 */
export interface Group {
  readonly anchors: readonly NodeFacts[];
  readonly unit: number;
  /** Output columns of each anchor (for each slot). */
  readonly columns: number;
  readonly epilogue: readonly NodeFacts[];
  /** Values of anchors and epilogue that other regions read. */
  readonly stores: readonly ValueId[];
  /** Axis-1 extents of values that have one for each slot (chosen expert). */
  readonly slots: ReadonlyMap<ValueId, number>;
}

export interface NodeFacts {
  readonly node: OpNode;
  readonly lowered: Lowered;
  readonly axis: RowAxis;
  readonly contraction?: Contraction;
}

/**
 * result[t, (s), n] = sum over k of x[t, (s), k] * weight[(id[t, s]), n, k], by operand number.
 */
export interface Contraction {
  readonly x: number;
  readonly weight: number;
  readonly ids?: number;
  /** Extent of axis s; absent where results have no such axis. */
  readonly slots?: number;
  /** x has axis s. */
  readonly xSlots: boolean;
  readonly n: number;
  readonly k: number;
}
