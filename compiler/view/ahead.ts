/** Lookahead on the page: by the weights that are chosen, layers that are alike in one row. */
import { nameAt } from '../2-model/model.ts';
import type { Model } from '../2-model/model.ts';
import { weightsOf } from '../2-model/weights.ts';
import {
  type Lookahead,
  type LookaheadOptions,
  lookaheads,
  sourceText,
} from '../3-graph/lookahead.ts';
import type { Ahead, Scope } from './data.ts';
import { numbersText } from './paths.ts';

/** What a part with these weights (paths in the model) waits for; empty without experts. */
export type AheadOf = (paths: readonly string[]) => readonly Ahead[];

export function aheadOf(model: Model, options: LookaheadOptions): AheadOf {
  const patterns = new Map<string, string>();
  for (const { weight, count } of weightsOf(model.body)) {
    for (let i = 0; i < count; i++) patterns.set(nameAt(weight.path, i), weight.path);
  }
  const all = lookaheads(model, options);
  return (paths) => {
    const own = new Set(paths);
    return grouped(all.filter((a) => a.weights.some((w) => own.has(patterns.get(w) ?? ''))));
  };
}

function grouped(all: readonly Lookahead[]): readonly Ahead[] {
  const groups = new Map<string, Lookahead[]>();
  for (const a of all) {
    const key = [a.source, a.layers, a.flops, a.weightBytes, a.stateBytes].join(' ');
    groups.set(key, [...(groups.get(key) ?? []), a]);
  }
  return [...groups.values()].flatMap((own) => {
    const [a] = own;
    if (!a) return [];
    const layers = own.flatMap(({ layer }) => (layer === undefined ? [] : [layer]));
    const from = sourceText(a);
    const bytes = a.weightBytes + a.stateBytes;
    return [
      { users: numbersText(layers) || 'experts', from, layers: a.layers, flops: a.flops, bytes },
    ];
  });
}

/**
 * Parts that give the numbers of the chosen, routers, wait for nothing themselves: they are shown
 * what lies between them and the use, in this body or, through what layers carry, in the next.
 */
export function withRouters(scopes: readonly Scope[]): readonly Scope[] {
  const routed = new Map<number, readonly Ahead[]>();
  for (const scope of scopes) {
    for (const e of scope.edges) {
      const [from, to] = [scope.nodes[e.from], scope.nodes[e.to]];
      if (from?.scope === undefined || scopes[from.scope]?.ahead.length !== 0) continue;
      if (!from.ports[e.port]?.type.startsWith('i32')) continue;
      const carried = to?.kind === 'output' && scope.kind === 'layers';
      const user = carried ? scope : to?.scope === undefined ? undefined : scopes[to.scope];
      if (user && user.ahead.length > 0) routed.set(from.scope, user.ahead);
    }
  }
  return scopes.map((s, i) => ({ ...s, ahead: routed.get(i) ?? s.ahead }));
}
