/** What selectors call parts by how a model uses them; op records say which use that is. */
import { opOf } from '../ops/index.ts';
import { productWeights } from './lora.ts';
import { type Body, type Model, type TypedExpr, nameAt } from './model.ts';
import { withinBody } from './walk.ts';
import { weightsOf } from './weights.ts';

export interface PartKinds {
  /** Kinds of a weight, by its concrete path. */
  ofWeight(path: string): readonly string[];
  /** Paths, placeholders in place, of the instances that numbers of chosen weights come from. */
  readonly routers: ReadonlySet<string>;
}

export function partKindsOf(model: Model): PartKinds {
  const linear = productWeights(model);
  const tables = tableKinds(model);
  return {
    ofWeight: (path) => [...(linear.has(path) ? ['linear'] : []), ...(tables.get(path) ?? [])],
    routers: routersOf(model),
  };
}

/** Kinds that ops give the weights that they read, by concrete path. */
function tableKinds(model: Model): ReadonlyMap<string, ReadonlySet<string>> {
  const byPattern = new Map<string, Set<string>>();
  for (const e of withinBody(model.body, model.results)) {
    const table = e.kind === 'op' ? opOf(e.op).table : undefined;
    const read = e.kind === 'op' && table ? e.inputs[table.operand] : undefined;
    if (!table || read?.kind !== 'weight') continue;
    const { path } = read.weight;
    byPattern.set(path, (byPattern.get(path) ?? new Set()).add(table.kind));
  }
  if (byPattern.size === 0) return byPattern;
  const out = new Map<string, ReadonlySet<string>>();
  for (const { weight, count } of weightsOf(model.body)) {
    const kinds = byPattern.get(weight.path);
    for (let i = 0; kinds && i < count; i++) out.set(nameAt(weight.path, i), kinds);
  }
  return out;
}

/** Path of the instance that computes whole numbers; undefined for other tensors. */
type Origin = string | undefined;

function routersOf(model: Model): ReadonlySet<string> {
  const routers = new Set<string>();
  runBody(model.body, model.results, '', new Map());
  return routers;

  function runBody(
    body: Body,
    results: readonly TypedExpr[],
    own: string,
    names: Map<string, Origin>,
  ): readonly Origin[] {
    for (const s of body.statements) {
      if (s.kind === 'let') {
        const origins = originsOf(s.value, own, names);
        s.names.forEach((name, i) => names.set(name, origins[i]));
      } else {
        for (const run of s.runs) for (const b of run.bodies) runBody(b, [], own, names);
      }
    }
    return results.map((r) => originsOf(r, own, names)[0]);
  }

  function originsOf(e: TypedExpr, own: string, names: Map<string, Origin>): readonly Origin[] {
    switch (e.kind) {
      case 'local':
        return [names.get(e.name)];
      case 'weight':
      case 'constant':
      case 'step':
        return [undefined];
      case 'pick':
        return [originsOf(e.from, own, names)[e.index]];
      case 'call': {
        const { inputs, body, results, path } = e.instance;
        const given = e.inputs.map((x) => originsOf(x, own, names)[0]);
        return runBody(body, results, path, new Map(inputs.map((p, i) => [p.name, given[i]])));
      }
      case 'op': {
        const inputs = e.inputs.map((x) => originsOf(x, own, names)[0]);
        const { chosen } = opOf(e.op);
        const router = chosen && inputs[chosen.ids];
        if (router !== undefined) routers.add(router);
        const passed = inputs.find((o) => o !== undefined);
        return e.types.map((t) => (t.dtype === 'i32' ? (passed ?? own) : undefined));
      }
    }
  }
}
