/** Runs the graph rules to a fixed point. */
import { invariant } from '../base/invariant.ts';
import type { Graph, ValueId } from './graph.ts';
import { resultsOf } from './graph.ts';
import { allNodes, rules } from './rules.ts';

/** Told of each rule that changed the graph. */
export type RewriteTrace = (rule: string, before: Graph, after: Graph) => void;

/** More firings than any model needs: a circle of rules is a compiler bug. */
const mostFirings = 20_000;

export function simplify(graph: Graph, trace?: RewriteTrace): Graph {
  let current = graph;
  for (let fired = 0; ; fired++) {
    invariant(fired < mostFirings, 'graph rules undo each other');
    const rule = rules.find((r) => {
      const after = r.apply(current);
      if (after === current) return false;
      trace?.(r.name, current, after);
      current = after;
      return true;
    });
    if (!rule) return withoutUnused(current);
  }
}

/** Types and origins of values that are defined. */
function withoutUnused(graph: Graph): Graph {
  const defined = new Set<ValueId>();
  for (const n of allNodes(graph.nodes)) {
    resultsOf(n).forEach((v) => defined.add(v));
    if (n.kind === 'loop') n.carried.forEach((c) => defined.add(c.param));
  }
  const keep = <T>(all: ReadonlyMap<ValueId, T>): ReadonlyMap<ValueId, T> =>
    new Map([...all].filter(([v]) => defined.has(v)));
  return { ...graph, types: keep(graph.types), origins: keep(graph.origins) };
}
