/** Model to graph: calls inlined, repeats as loops, weights widened by casts, wanted rows picked. */
import { invariant, present } from '../base/invariant.ts';
import { type QuantScheme, printScheme } from '../base/scheme.ts';
import type { Span } from '../base/source.ts';
import { symbol } from '../base/dim.ts';
import { type DType, type TensorType, isFloat } from '../base/type.ts';
import type { Schemes } from '../2-model/effects.ts';
import { productOf } from '../2-model/lora.ts';
import {
  type Body,
  type Instance,
  type Model,
  type ModelInput,
  type Repeat,
  type TypedExpr,
  type WeightDecl,
  nameAt,
} from '../2-model/model.ts';
import { makeGraphBuilder } from './builder.ts';
import type { Carried, Graph, StepNode, ValueId } from './graph.ts';

type Scope = Map<string, ValueId>;
type OpExpr = Extract<TypedExpr, { readonly kind: 'op' }>;

/** A scheme that a weight is kept in, and that of what it multiplies where no sheet says another. */
export interface StoredAs {
  readonly scheme: QuantScheme;
  readonly activations?: QuantScheme;
}

const noSchemes: Schemes = {
  weights: new Map(),
  activations: new Map(),
  kv: new Map(),
  cached: new Map(),
  otherwise: 'f32',
};

/**
 * `dtypeOf`: the stored element type of a weight, by its path in the model. The graph of a model from
 * token ids has one result, f32 [r, ..], a row for each wanted token; that of a block on its own has
 * the block's results whole.
 * `schemes`: those that values pass through; the iterations of a loop have the same.
 * `storedAs`: how the checkpoint keeps a weight, by its path in the model.
 */
export function lowerModel(
  model: Model,
  dtypeOf: (path: string) => DType,
  schemes: Schemes = noSchemes,
  storedAs: (path: string) => StoredAs | undefined = () => undefined,
): Graph {
  const b = makeGraphBuilder();
  const step = new Map<string, ValueId>();
  const wholeModel = model.inputs.every((i) => i.from === 'ids');
  if (wholeModel) for (const field of ['ids', 'position', 'rows'] as const) stepValue(field);
  // Weights by path: those with a placeholder belong to the loop that is being built.
  let weights = new Map<string, ValueId>();
  const scope: Scope = new Map(
    model.inputs.map((i) => [i.name, i.from === 'ids' ? stepValue('ids') : inputValue(i)]),
  );
  lowerBody(model.body, scope);
  const results = model.results.map((r) => {
    const all = one(r, scope);
    return wholeModel ? present(b.op('take', [all, stepValue('rows')], {}, r.span)[0]) : all;
  });
  return {
    name: model.name,
    nodes: b.nodes(),
    results,
    types: b.types,
    origins: b.origins,
  };

  function stepValue(field: StepNode['field']): ValueId {
    const had = step.get(field);
    if (had !== undefined) return had;
    const type: TensorType = { dtype: 'i32', shape: [symbol(field === 'rows' ? 'r' : 't')] };
    const result = b.fresh(type);
    b.push({ kind: 'step', field, result });
    step.set(field, result);
    return result;
  }

  function inputValue({ name, type }: ModelInput): ValueId {
    const result = b.fresh(type);
    b.push({ kind: 'input', name, result });
    return result;
  }

  function lowerBody(body: Body, scope: Scope): void {
    for (const s of body.statements) {
      if (s.kind === 'repeat') {
        lowerRepeat(s, scope);
        continue;
      }
      const values = many(s.value, scope);
      s.names.forEach((name, i) => scope.set(name, present(values[i], name)));
    }
  }

  /** One loop for each run; a run of one iteration is written out. */
  function lowerRepeat(repeat: Repeat, scope: Scope): void {
    for (const run of repeat.runs) {
      const names = repeat.carried.map((c) => c.name);
      const initial = names.map((n) => present(scope.get(n), n));
      const inner: Scope = new Map(scope);
      const params = names.map((n, i) => {
        const v = b.fresh(b.typeOf(present(initial[i])));
        inner.set(n, v);
        return v;
      });
      const outer = weights;
      weights = new Map(outer);
      const nodes = b.nested(() => run.bodies.forEach((body) => lowerBody(body, inner)));
      weights = outer;
      const carried = names.map((n, i): Carried => {
        const from = present(initial[i]);
        return {
          initial: from,
          param: present(params[i]),
          next: present(inner.get(n)),
          result: b.fresh(b.typeOf(from)),
        };
      });
      b.push({ kind: 'loop', count: run.count, carried, body: nodes });
      carried.forEach((c, i) => scope.set(present(names[i]), c.result));
    }
  }

  function one(e: TypedExpr, scope: Scope): ValueId {
    return present(many(e, scope)[0]);
  }

  function many(e: TypedExpr, scope: Scope): readonly ValueId[] {
    switch (e.kind) {
      case 'local':
        return [present(scope.get(e.name), e.name)];
      case 'weight':
        return [weightValue(e.weight)];
      case 'constant': {
        const result = b.fresh({ dtype: 'f32', shape: [] }, e.span);
        b.push({ kind: 'constant', value: e.value, result });
        return [result];
      }
      case 'step':
        return [stepValue(e.field)];
      case 'pick':
        return [present(many(e.from, scope)[e.index], 'result')];
      case 'op': {
        const scheme = schemeOfOperand(e);
        const inputs = e.inputs.map((x, i) => {
          const value = one(x, scope);
          return i === 0 ? asCached(e, through(value, scheme, x.span), x.span) : value;
        });
        return b.op(e.op, inputs, e.attrs, e.span, e.state);
      }
      case 'call':
        return call(
          e.instance,
          e.inputs.map((x) => one(x, scope)),
        );
    }
  }

  function call(instance: Instance, inputs: readonly ValueId[]): readonly ValueId[] {
    const inner: Scope = new Map();
    instance.inputs.forEach((p, i) => inner.set(p.name, present(inputs[i], p.name)));
    lowerBody(instance.body, inner);
    return instance.results.map((r) => one(r, inner));
  }

  /** A stored weight and, where it is narrower, the cast that widens it. */
  function weightValue(w: WeightDecl): ValueId {
    const had = weights.get(w.path);
    if (had !== undefined) return had;
    const dtype = w.stored ?? dtypeOf(w.path);
    const result = b.fresh({ dtype, shape: w.type.shape }, w.span);
    const kept = storedAs(w.path);
    const scheme = kept ? { scheme: printScheme(kept.scheme) } : {};
    b.push({ kind: 'weight', name: w.path, source: w.source, ...scheme, result });
    invariant(isFloat(dtype), () => `weight ${w.path} is stored as ${dtype}`);
    const [wide] = dtype === 'f32' ? [result] : b.op('cast', [result], { to: 'f32' }, w.span);
    const value = through(present(wide), schemes.weights.get(nameAt(w.path, 0)), w.span);
    weights.set(w.path, value);
    return value;
  }

  /** Of the left operand: what a product with a weight multiplies, or what goes into a cache. */
  function schemeOfOperand(e: OpExpr): QuantScheme | undefined {
    if (e.state !== undefined) return schemes.kv.get(keeperOf(e.state));
    const product = productOf(e);
    if (!product) return undefined;
    const path = nameAt(product.weight.path, 0);
    if (schemes.activations.has(path)) return schemes.activations.get(path);
    return storedAs(product.weight.path)?.activations;
  }

  /** Path of the part that keeps a state. */
  function keeperOf(state: string): string {
    return nameAt(state, 0).split('.').slice(0, -1).join('.');
  }

  /** What goes into a cache, rounded to the cache's element type. */
  function asCached(e: OpExpr, x: ValueId, span: Span): ValueId {
    if (e.state === undefined || b.typeOf(x).dtype === 'i32') return x;
    const keeper = keeperOf(e.state);
    const to = schemes.cached.get(keeper) ?? (schemes.kv.has(keeper) ? 'f32' : schemes.otherwise);
    return to === 'f32' ? x : present(b.op('cast', [x], { to }, span)[0]);
  }

  function through(x: ValueId, scheme: QuantScheme | undefined, span: Span): ValueId {
    // Numbers of things, such as positions in a cache, stay what they are.
    if (!scheme || b.typeOf(x).dtype === 'i32') return x;
    return present(b.op('through', [x], { scheme: printScheme(scheme) }, span)[0]);
  }
}
