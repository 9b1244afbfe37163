/** What the page of a model shows, as plain data: a scope for each body, with its flow and figures. */
import type { QuantScheme } from '../base/scheme.ts';
import type { DType } from '../base/type.ts';
import type { PartCost } from '../3-graph/part-cost.ts';
import type { ViewSheets } from './sheets.ts';

/** Parameters, bytes stored, then for one token: FLOPs and bytes of weights, state, activations. */
export type Figures = readonly [number, number, number, number, number, number];

export interface Named {
  readonly name: string;
  readonly value: string;
}

export interface ViewData {
  readonly name: string;
  /** Entries that the token of the figures sees. */
  readonly context: number;
  /** Whether stored types are a checkpoint's; else weights count as f32 where no sheet says more. */
  readonly bound: boolean;
  /** Whether sheets say how weights are stored. */
  readonly typed: boolean;
  readonly total: Figures;
  /** The first is the model. */
  readonly scopes: readonly Scope[];
}

/** A body: of the model, of a run's layers, of a block that is used. */
export interface Scope {
  readonly kind: 'model' | 'layers' | 'block';
  /** What sheets select it by: `layers[3..60].self_attn`. */
  readonly path: string;
  readonly title: string;
  /** The block's name, or how the layers follow each other. */
  readonly note: string;
  /** Layers that it stands for; 1 for all else. */
  readonly count: number;
  readonly params: readonly Named[];
  /** Of one execution. */
  readonly cost: Figures;
  readonly weights: readonly ViewWeight[];
  readonly nodes: readonly ViewNode[];
  readonly edges: readonly ViewEdge[];
  /** Element types and schemes of all weights inside. */
  readonly precision: string;
  /** Precision and placement, as far as something says them. */
  readonly properties: readonly Named[];
  /** Of experts and routers: what lies between a choice and its use. */
  readonly ahead: readonly Ahead[];
}

/** One token's work between "these experts" and "their weights", of layers that are alike. */
export interface Ahead {
  /** The layers that use. */
  readonly users: string;
  /** What the choice is made from. */
  readonly from: string;
  /** Ends of layers between. */
  readonly layers: number;
  readonly flops: number;
  /** Of weights and state read meanwhile. */
  readonly bytes: number;
}

export interface ViewWeight {
  readonly path: string;
  readonly name: string;
  /** The pattern of its names in the checkpoint. */
  readonly source: string;
  readonly type: string;
  readonly cost: Figures;
  readonly properties: readonly Named[];
}

/** A value that a node gives: its name in the template, where it has one, and its type. */
export interface Port {
  readonly name: string;
  readonly type: string;
}

export interface ViewNode {
  readonly kind: 'input' | 'output' | 'op' | 'part';
  readonly label: string;
  /** Operands that are no edges: weights, constants, step arrays. */
  readonly operands: readonly string[];
  /** Attributes of an op: masks, scores, axes. */
  readonly attrs: readonly Named[];
  readonly ports: readonly Port[];
  readonly cost: Figures;
  /** kind `part`: the scope inside. */
  readonly scope?: number;
  /** The part is declared in a body around this one: its parameters are there once. */
  readonly elsewhere?: true;
}

export interface ViewEdge {
  readonly from: number;
  readonly port: number;
  readonly to: number;
  /** Carried from one layer to the next. */
  readonly loop?: true;
}

export interface ViewOptions {
  /** Entries that the token of the figures sees. */
  readonly context: number;
  /** Stored types by path, of a checkpoint; f32 without. */
  readonly dtypeOf?: (path: string) => DType;
  /** The scheme that a weight is kept in, where it is quantised. */
  readonly schemeOf?: (path: string) => QuantScheme | undefined;
  /** What sheets say of every part. */
  readonly sheets?: ViewSheets;
}

export const figuresOf = (c: PartCost): Figures => [
  c.parameters,
  c.bytes,
  c.flops,
  c.weightBytes,
  c.stateBytes,
  c.activationBytes,
];
