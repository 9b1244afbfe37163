/** A model as a tree of plain data: what a user looks at, selects in and edits. */
import { type Dim, constantDim, showDim } from '../base/dim.ts';
import type { DType, TensorType } from '../base/type.ts';
import { opOf } from '../ops/index.ts';
import { type PartKinds, partKindsOf } from './part-kinds.ts';
import { withinExpr } from './walk.ts';
import { weightAt } from './weights.ts';
import {
  type Body,
  type Instance,
  type Model,
  type Value,
  type WeightDecl,
  nameAt,
} from './model.ts';

/** Sizes of a tensor; those that a step decides are names: `t`, its tokens. */
export interface PartTensor {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly (number | string)[];
}

export type ParamValue = number | boolean | string | readonly ParamValue[];

/** The model, one of its layers, or an instance of a block. */
export interface BlockPart {
  readonly kind: 'model' | 'layer' | 'instance';
  /** From the model's root, the layer's number in place: `layers.3.self_attn`. */
  readonly path: string;
  /** Name of the block, of the model, or of the repeat that the layer belongs to. */
  readonly block: string;
  /** What selectors call it by what it computes: `attention`, `experts`, `router`. */
  readonly kinds: readonly string[];
  /** Values of the parameters; a block as its name, functions left out. */
  readonly params: Readonly<Record<string, ParamValue>>;
  readonly inputs: readonly PartTensor[];
  readonly results: readonly PartTensor[];
  /** Its own, by the names that it declares them under. */
  readonly weights: Readonly<Record<string, WeightPart>>;
  /** Instances that it declares, by their names. */
  readonly parts: Readonly<Record<string, BlockPart>>;
  /** Layers of its repeats, in order. */
  readonly layers: readonly BlockPart[];
}

export interface WeightPart extends PartTensor {
  readonly kind: 'weight';
  /** `linear`: the matrix of products; `embedding`: a table of rows. */
  readonly kinds: readonly string[];
  readonly path: string;
  /** Name in the checkpoint, to which that may add `.weight`. */
  readonly source: string;
}

export type ModelPart = BlockPart | WeightPart;

export function treeOf(model: Model): BlockPart {
  return {
    kind: 'model',
    path: '',
    block: model.name,
    kinds: kindsOf(model),
    params: paramsOf(model.params),
    inputs: model.inputs.map((i) => tensorOf(i.name, i.type)),
    results: model.results.flatMap((r) => r.types.map((t) => tensorOf('', t))),
    ...insideOf(model.body, '', 0, partKindsOf(model)),
  };
}

/** A part with everything inside it, outermost first, in the order of the text. */
export function* partsOf(part: BlockPart): Generator<ModelPart> {
  yield part;
  yield* Object.values(part.weights);
  for (const inner of [...part.layers, ...Object.values(part.parts)]) yield* partsOf(inner);
}

function instancePart(
  i: Instance,
  outer: string,
  iteration: number,
  partKinds: PartKinds,
): readonly [string, BlockPart] {
  const path = nameAt(i.path, iteration);
  const part: BlockPart = {
    kind: 'instance',
    path,
    block: i.block,
    kinds: [...kindsOf(i), ...(partKinds.routers.has(i.path) ? ['router'] : [])],
    params: paramsOf(i.params),
    inputs: i.inputs.map((x) => tensorOf(x.name, x.type)),
    results: i.results.flatMap((r) => r.types.map((t) => tensorOf('', t))),
    ...insideOf(i.body, path, iteration, partKinds),
  };
  return [nameIn(outer, path), part];
}

/** Kinds of the ops that it computes itself. */
function kindsOf({ body, results }: Pick<Instance, 'body' | 'results'>): readonly string[] {
  const own = body.statements.flatMap((s) => (s.kind === 'let' ? [s.value] : []));
  const all = [...own, ...results].flatMap((e) => [...withinExpr(e)]);
  return [...new Set(all.flatMap((e) => (e.kind === 'op' ? (opOf(e.op).kind ?? []) : [])))];
}

function insideOf(
  body: Body,
  path: string,
  iteration: number,
  partKinds: PartKinds,
): Pick<BlockPart, 'weights' | 'parts' | 'layers'> {
  const weights = body.weights.map((w) => weightPart(weightAt(w, iteration), path, partKinds));
  const parts = body.instances.map((i) => instancePart(i, path, iteration, partKinds));
  return {
    weights: Object.fromEntries(weights.map((w) => [w.name, w])),
    parts: Object.fromEntries(parts),
    layers: body.statements.flatMap((s) => {
      if (s.kind !== 'repeat') return [];
      const repeat = nameAt(s.path, iteration);
      return s.runs.flatMap((run) =>
        Array.from({ length: run.count * run.bodies.length }, (_, n) => {
          const round = Math.floor(n / run.bodies.length);
          const own = run.bodies[n % run.bodies.length];
          return own ? [layerPart(own, repeat, run.first + n, round, partKinds)] : [];
        }).flat(),
      );
    }),
  };
}

function layerPart(
  body: Body,
  repeat: string,
  layer: number,
  round: number,
  partKinds: PartKinds,
): BlockPart {
  const path = `${repeat}.${layer}`;
  const none = { kinds: kindsOf({ body, results: [] }), params: {}, inputs: [], results: [] };
  return { kind: 'layer', path, block: repeat, ...none, ...insideOf(body, path, round, partKinds) };
}

const weightPart = (
  { path, source, type }: WeightDecl,
  outer: string,
  partKinds: PartKinds,
): WeightPart => ({
  kind: 'weight',
  kinds: partKinds.ofWeight(path),
  path,
  source,
  ...tensorOf(nameIn(outer, path), type),
});

const nameIn = (outer: string, path: string): string =>
  outer !== '' && path.startsWith(`${outer}.`) ? path.slice(outer.length + 1) : path;

const sizeOf = (d: Dim): number | string => constantDim(d) ?? showDim(d);

const tensorOf = (name: string, { dtype, shape }: TensorType): PartTensor => ({
  name,
  dtype,
  shape: shape.map(sizeOf),
});

const paramsOf = (params: ReadonlyMap<string, Value>): BlockPart['params'] =>
  Object.fromEntries(
    [...params].flatMap(([name, v]) => {
      const value = paramOf(v);
      return value === undefined ? [] : [[name, value]];
    }),
  );

function paramOf(v: Value): ParamValue | undefined {
  switch (v.kind) {
    case 'int':
    case 'real':
    case 'bool':
    case 'text':
      return v.value;
    case 'list':
      return v.items.flatMap((x) => paramOf(x) ?? []);
    case 'block':
      return v.name;
    case 'fn':
      return undefined;
  }
}
