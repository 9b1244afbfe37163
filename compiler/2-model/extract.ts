/** An instance of a block as a model of its own: its inputs are what the caller gives. */
import type { Log } from '../base/diagnostic.ts';
import { present } from '../base/invariant.ts';
import type { Span } from '../base/source.ts';
import { type Body, type Instance, type Model, type WeightDecl, nameAt } from './model.ts';
import { withinBody } from './walk.ts';

export interface Root {
  readonly path: string;
  /** Where the user asked for it. */
  readonly site: Span;
}

/** The model that the instance at `root` is, paths seen from there; undefined with a mistake in `log`. */
export function extract(whole: Model, root: Root, log: Log): Model | undefined {
  const found = instanceAt(whole.body, root.path, 0);
  if (!found) {
    log.report('edit/nothing', { selector: root.path, nearest: undefined }, [
      { span: root.site, text: '' },
    ]);
    return undefined;
  }
  const { instance, iteration } = found;
  const own = atIteration(instance, iteration, `${root.path}.`);
  const outer = outerWeights(own);
  return {
    name: own.block,
    params: own.params,
    inputs: own.inputs.map(({ name, type }) => ({ name, type, from: 'caller' })),
    body: { ...own.body, weights: [...own.body.weights, ...outer] },
    results: own.results,
  };
}

interface Found {
  readonly instance: Instance;
  readonly iteration: number;
}

function instanceAt(body: Body, path: string, iteration: number): Found | undefined {
  for (const instance of body.instances) {
    const own = nameAt(instance.path, iteration);
    if (own === path) return { instance, iteration };
    const inside = path.startsWith(`${own}.`) && instanceAt(instance.body, path, iteration);
    if (inside) return inside;
  }
  for (const s of body.statements) {
    if (s.kind !== 'repeat' || !path.startsWith(`${nameAt(s.path, iteration)}.`)) continue;
    for (const run of s.runs) {
      for (let i = 0; i < run.count; i++) {
        for (const b of run.bodies) {
          const found = instanceAt(b, path, i);
          if (found) return found;
        }
      }
    }
  }
  return undefined;
}

/** The instance with the layer's number in its names, and paths without `prefix`. */
function atIteration(instance: Instance, iteration: number, prefix: string): Instance {
  const copies = new Map<object, unknown>();
  const text = (key: string, v: string): string => {
    const name = nameAt(v, iteration);
    const isPath = key === 'path' || key === 'state';
    return isPath && name.startsWith(prefix) ? name.slice(prefix.length) : name;
  };
  const visit = (v: unknown, key: string): unknown => {
    if (typeof v === 'string') return text(key, v);
    if (typeof v !== 'object' || v === null || v instanceof Map || key === 'span') return v;
    if (copies.has(v)) return copies.get(v);
    const copy: unknown = Array.isArray(v)
      ? v.map((x) => visit(x, key))
      : Object.fromEntries(Object.entries(v).map(([k, x]) => [k, visit(x, k)]));
    copies.set(v, copy);
    return copy;
  };
  return present(visit(instance, '') as Instance | undefined); // cast: the same structure with other strings
}

/** Weights that it reads and does not declare: those that it shares with parts outside. */
function outerWeights({ body, results }: Instance): readonly WeightDecl[] {
  const declared = new Set<string>();
  const note = (b: Body): void => {
    b.weights.forEach((w) => declared.add(w.path));
    b.instances.forEach((i) => note(i.body));
    for (const s of b.statements) {
      if (s.kind === 'repeat') s.runs.forEach((r) => r.bodies.forEach(note));
    }
  };
  note(body);
  const read = [...withinBody(body, results)].flatMap((e) => (e.kind === 'weight' ? e.weight : []));
  return [...new Map(read.map((w) => [w.path, w])).values()].filter((w) => !declared.has(w.path));
}
