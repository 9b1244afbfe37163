/** What a plan asks for that no kernel does, in words for whoever wrote the sheet. */
import type { QuantScheme } from '../base/scheme.ts';
import type { Node, ValueId } from '../3-graph/graph.ts';
import type { NodeFacts, Plan } from '../4-partition/plan.ts';
import { activationRefusal, cacheRefusal } from './activation.ts';
import { blocksRefusal } from './blocks.ts';
import { codesRefusal } from './code-reading.ts';

/** Why weights kept in a scheme have no kernels, or undefined where they have. */
export function weightRefusal(scheme: QuantScheme): string | undefined {
  const layout = blocksRefusal(scheme);
  return layout === undefined ? codesRefusal(scheme) : `${scheme.name} has ${layout}`;
}

/** The first thing that has no kernel. */
export function planRefusal(plan: Plan): string | undefined {
  const quantised = new Map<ValueId, QuantScheme>();
  for (const w of new Set(plan.weights.values())) {
    if (w.layout.kind !== 'blocks') continue;
    const refusal = weightRefusal(w.layout.scheme);
    if (refusal !== undefined) return `${w.name}: ${refusal}`;
    if (w.shape.length < 2) return `${w.name}: only matrices are kept in ${w.layout.scheme.name}`;
  }
  const visit = (nodes: readonly Node[]): string | undefined => {
    for (const n of nodes) {
      const inside = n.kind === 'loop' ? visit(n.body) : undefined;
      if (inside !== undefined) return inside;
      if (n.kind !== 'op') continue;
      const facts = plan.producers.get(n.results[0] ?? -1);
      if (!facts) continue;
      const refusal = refusalOf(facts);
      if (refusal !== undefined) return refusal;
    }
    return undefined;
  };
  return visit(plan.graph.nodes);

  function refusalOf({ node, contraction, lowered }: NodeFacts): string | undefined {
    if (lowered.kind === 'quantise') {
      const [v = -1] = node.results;
      if (plan.weights.has(v)) return undefined;
      quantised.set(v, lowered.scheme);
      return activationRefusal(lowered.scheme);
    }
    for (const [i, v] of node.inputs.entries()) {
      const scheme = quantised.get(v);
      if (!scheme) continue;
      const { name } = scheme;
      if (lowered.kind === 'append') {
        const refusal = cacheRefusal(scheme);
        if (refusal !== undefined) return refusal;
        const axes = node.state?.spec.row.length;
        if (axes === 1 || axes === 2) continue;
      }
      const weight = contraction && plan.weights.get(node.inputs[contraction.weight] ?? -1);
      if (i !== contraction?.x || !weight) {
        return `${node.op} of what is kept in ${name}: only products with weights and caches of heads take codes`;
      }
      if (weight.layout.kind !== 'blocks') {
        return `${weight.name} in ${weight.dtype} times activations in ${name}: codes are multiplied with codes, so give the weights a scheme of whole numbers too`;
      }
    }
    return undefined;
  }
}
