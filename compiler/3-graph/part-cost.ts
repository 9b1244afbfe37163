/**
 * What each part of a model has and does: parameters, bytes as stored, and the cost of one decoded
 * token. Repeats stay folded: a layer's figures are of one iteration, a run's of all its layers.
 */
import { type Dim, constantDim, showDim } from '../base/dim.ts';
import { invariant, present } from '../base/invariant.ts';
import { type DType, type TensorType, bytesOf } from '../base/type.ts';
import type { Body, Instance, Model, Run, TypedExpr, WeightDecl } from '../2-model/model.ts';
import { opOf, isOpName } from '../ops/index.ts';
import { type Attrs, type Cost, isProblem, noCost } from '../ops/op.ts';
import { withDefaults } from './builder.ts';

export interface PartCost extends Cost {
  /** Numbers that a checkpoint has for the part. */
  readonly parameters: number;
  /** Bytes of those, as stored. */
  readonly bytes: number;
}

/**
 * Figures by the thing itself. Those of weights, instances and ops are of one execution of the body
 * that owns them: inside a repeat, of one layer. A weight's cost is that of the ops that read it.
 */
export interface ModelCost {
  readonly total: PartCost;
  readonly weights: ReadonlyMap<WeightDecl, PartCost>;
  readonly instances: ReadonlyMap<Instance, PartCost>;
  readonly ops: ReadonlyMap<TypedExpr, Cost>;
  readonly bodies: ReadonlyMap<Body, PartCost>;
  /** All layers of the run. */
  readonly runs: ReadonlyMap<Run, PartCost>;
}

export interface PartCostOptions {
  /** Entries that the token sees: the context so far. */
  readonly keys: number;
  /** The stored element type of a weight, by its path in the model; f32 where absent. */
  readonly dtypeOf?: (path: string) => DType;
  /** Bits that an element of a quantised weight takes, by its path; what its type says if absent. */
  readonly bitsOf?: (path: string) => number | undefined;
}

export const noPartCost: PartCost = { ...noCost, parameters: 0, bytes: 0 };

export const addCost = (a: PartCost, b: PartCost, times = 1): PartCost => ({
  flops: a.flops + times * b.flops,
  weightBytes: a.weightBytes + times * b.weightBytes,
  stateBytes: a.stateBytes + times * b.stateBytes,
  activationBytes: a.activationBytes + times * b.activationBytes,
  parameters: a.parameters + times * b.parameters,
  bytes: a.bytes + times * b.bytes,
});

/** A body that is being walked: how often it runs for one run of the one around it. */
interface Frame {
  readonly body: Body;
  readonly times: number;
  /** Weights that the call gave it, by the names of its inputs. */
  readonly given: Given;
}

type Given = ReadonlyMap<string, WeightDecl>;

/**
 * One token, one wanted row. The total is what `costOf` says of the graph before it is simplified:
 * repeated computations count here until a rule has made them one.
 */
export function partCosts(model: Model, { keys, dtypeOf, bitsOf }: PartCostOptions): ModelCost {
  const weights = new Map<WeightDecl, PartCost>();
  const instances = new Map<Instance, PartCost>();
  const ops = new Map<TypedExpr, Cost>();
  const bodies = new Map<Body, PartCost>();
  const runs = new Map<Run, PartCost>();
  const counted = new Set<string>();
  // By path: layers hold copies of what they use of a body around them.
  const inside = new Map<string, PartCost>();
  const sizes = new Map([
    ['t', 1],
    ['r', 1],
    ['c', keys],
  ]);
  const total = bodyCost(model.body, model.results, []);
  return { total, weights, instances, ops, bodies, runs };

  /** Of one execution, with `results` computed in the body's scope. */
  function bodyCost(
    body: Body,
    results: readonly TypedExpr[],
    outer: readonly Frame[],
    times = 1,
    given: Given = outer.at(-1)?.given ?? new Map(),
  ): PartCost {
    const frames = [...outer, { body, times, given }];
    let sum = noPartCost;
    for (const w of body.weights) {
      const own = declared(w);
      weights.set(w, own);
      sum = addCost(sum, own);
    }
    // Parameters belong to the owner of an instance, even where it is never called.
    for (const i of body.instances) {
      const { parameters, bytes } = instanceCost(i);
      instances.set(i, { ...noPartCost, parameters, bytes });
      sum = addCost(sum, { ...noPartCost, parameters, bytes });
    }
    const seen = new Set<TypedExpr>();
    const visit = (e: TypedExpr): void => {
      sum = addCost(sum, exprCost(e, frames, seen));
    };
    for (const s of body.statements) {
      if (s.kind === 'let') visit(s.value);
      else for (const run of s.runs) sum = addCost(sum, runCost(run, frames));
    }
    results.forEach(visit);
    bodies.set(body, sum);
    return sum;
  }

  function runCost(run: Run, frames: readonly Frame[]): PartCost {
    const once = run.bodies.reduce(
      (sum, b) => addCost(sum, bodyCost(b, [], frames, run.count)),
      noPartCost,
    );
    const all = addCost(noPartCost, once, run.count);
    runs.set(run, all);
    return all;
  }

  /** One call's figures; parameters once. */
  function instanceCost(
    i: Instance,
    inputs: readonly TypedExpr[] = [],
    frames: readonly Frame[] = [],
  ): PartCost {
    const had = inside.get(i.path);
    if (had) {
      bodies.set(i.body, had);
      return had;
    }
    const lets = i.body.statements.flatMap((s) => (s.kind === 'let' ? s.names : []));
    const given = new Map<string, WeightDecl>();
    for (const [n, x] of inputs.entries()) {
      const w = weightIn(x, frames.at(-1)?.given);
      const name = i.inputs[n]?.name;
      if (w && name !== undefined && !lets.includes(name)) given.set(name, w);
    }
    const cost = bodyCost(i.body, i.results, given.size > 0 ? frames : [], 1, given);
    inside.set(i.path, cost);
    return cost;
  }

  function declared(w: WeightDecl): PartCost {
    if (counted.has(w.path)) return noPartCost;
    counted.add(w.path);
    const parameters = sizeOf(w.type.shape);
    return { ...noPartCost, parameters, bytes: parameters * bytesIn(w) };
  }

  function storedAs(w: WeightDecl): DType {
    return dtypeOf?.(w.path) ?? w.stored ?? w.type.dtype;
  }

  /** Of one element. */
  function bytesIn(w: WeightDecl): number {
    const bits = bitsOf?.(w.path);
    return bits === undefined ? bytesOf[storedAs(w)] : bits / 8;
  }

  function exprCost(e: TypedExpr, frames: readonly Frame[], seen: Set<TypedExpr>): PartCost {
    if (seen.has(e)) return noPartCost;
    seen.add(e);
    switch (e.kind) {
      case 'local':
      case 'weight':
      case 'constant':
      case 'step':
        return noPartCost;
      case 'pick':
        return exprCost(e.from, frames, seen);
      case 'op': {
        const before = e.inputs.reduce(
          (sum, x) => addCost(sum, exprCost(x, frames, seen)),
          noPartCost,
        );
        const given = frames.at(-1)?.given;
        const own = { ...noPartCost, ...opCost(e, given) };
        ops.set(e, own);
        for (const x of e.inputs) {
          const w = weightIn(x, given);
          if (w) owned(weights, w, own, frames, (b) => b.weights);
        }
        return addCost(before, own);
      }
      case 'call': {
        const before = e.inputs.reduce(
          (sum, x) => addCost(sum, exprCost(x, frames, seen)),
          noPartCost,
        );
        const one = { ...instanceCost(e.instance, e.inputs, frames), parameters: 0, bytes: 0 };
        owned(instances, e.instance, one, frames, (b) => b.instances);
        return addCost(before, one);
      }
    }
  }

  /** Adds to a thing's figures as often as its owner's body sees it happen. */
  function owned<T extends { readonly path: string }>(
    all: Map<T, PartCost>,
    { path }: T,
    cost: PartCost,
    frames: readonly Frame[],
    ownOf: (body: Body) => readonly T[],
  ): void {
    const own = (f: Frame): T | undefined => ownOf(f.body).find((x) => x.path === path);
    const owner = frames.findIndex(own);
    const [thing] = frames.flatMap((f) => own(f) ?? []);
    // What an instance reads of the body around it is that body's to tell.
    if (thing === undefined) return;
    const times = frames.slice(owner + 1).reduce((n, f) => n * f.times, 1);
    all.set(thing, addCost(all.get(thing) ?? noPartCost, cost, times));
  }

  function opCost(e: Extract<TypedExpr, { kind: 'op' }>, given: Given | undefined): Cost {
    const inputs = e.inputs.map((x): TensorType => {
      const type = present(x.types[0]);
      const w = weightIn(x, given);
      return w ? { dtype: storedAs(w), shape: type.shape } : type;
    });
    const cost = costOfOp(e.op, inputs, e.types, e.attrs);
    const read = e.inputs.flatMap((x) => weightIn(x, given) ?? []);
    const sum = (of: (w: WeightDecl) => number): number =>
      read.reduce((n, w) => n + of(w) * sizeOf(w.type.shape), 0);
    // Ops read types; what is quantised takes fewer bytes than those have.
    const packed = read.some((w) => bitsOf?.(w.path) !== undefined);
    if (!packed) return cost;
    const share = sum(bytesIn) / sum((w) => bytesOf[storedAs(w)]);
    return { ...cost, weightBytes: cost.weightBytes * share };
  }

  function costOfOp(
    op: string,
    inputs: readonly TensorType[],
    outputs: readonly TensorType[],
    given: Attrs,
  ): Cost {
    invariant(isOpName(op), () => `no op named ${op}`);
    const def = opOf(op);
    const attrs = withDefaults(op, given);
    if (!def.expand) return def.cost(inputs.map(concrete), outputs.map(concrete), attrs, keys);
    // The op stands for others: what they cost, built on types alone.
    const types: TensorType[] = [...inputs];
    let sum: PartCost = noPartCost;
    def.expand(
      (name, operands, own) => {
        invariant(isOpName(name), () => `no op named ${name}`);
        const operandTypes = operands.map((n) => present(types[n]));
        const results = opOf(name).infer(operandTypes, withDefaults(name, own));
        invariant(!isProblem(results), () => `${op}: its expansion has no type`);
        sum = addCost(sum, { ...noPartCost, ...costOfOp(name, operandTypes, results, own) });
        return types.push(present(results[0])) - 1;
      },
      inputs.map((_, n) => n),
      attrs,
    );
    return sum;
  }

  function concrete(type: TensorType): TensorType<number> {
    return { dtype: type.dtype, shape: type.shape.map(sizeOfDim) };
  }

  function sizeOfDim(d: Dim): number {
    return constantDim(d) ?? sizes.get(showDim(d)) ?? 1;
  }
}

/** The weight that an expression is, maybe seen another way (transposed, reshaped) at no cost. */
export function weightIn(e: TypedExpr, given?: Given): WeightDecl | undefined {
  if (e.kind === 'local') return given?.get(e.name);
  if (e.kind === 'weight') return e.weight;
  const [only] = e.kind === 'op' ? e.inputs : [];
  if (e.kind !== 'op' || only === undefined || e.inputs.length !== 1) return undefined;
  const def = opOf(e.op);
  if (def.expand || def.state) return undefined;
  const one = (t: TensorType): TensorType<number> => ({ ...t, shape: t.shape.map(() => 1) });
  const types = only.types.map(one);
  const { flops, weightBytes, stateBytes, activationBytes } = def.cost(
    types,
    e.types.map(one),
    e.attrs,
    1,
  );
  const free = flops + weightBytes + stateBytes + activationBytes === 0;
  return free ? weightIn(only, given) : undefined;
}

const sizeOf = (shape: readonly Dim[]): number =>
  shape.reduce<number>((n, d) => n * present(constantDim(d), 'size of a weight'), 1);
