/** The cost of a model's parts, against the cost of its graph. */
import { describe, expect, test } from 'vitest';
import bard from '../examples/bard/model.ts';
import { makeLog } from '../compiler/base/diagnostic.ts';
import { renderAll } from '../compiler/base/render.ts';
import { compileGraph } from '../compiler/compile.ts';
import { checkModel } from '../compiler/2-model/check.ts';
import type { Model } from '../compiler/2-model/model.ts';
import { costOf } from '../compiler/3-graph/cost.ts';
import { lowerModel } from '../compiler/3-graph/lower.ts';
import { partCosts } from '../compiler/3-graph/part-cost.ts';
import { simplify } from '../compiler/3-graph/simplify.ts';
import { type BoundModel, bind, block, model } from '../compiler/index.ts';
import { wide } from './helpers/wide-model.ts';

const checked = (bound: BoundModel): Model => {
  const log = makeLog();
  const model = checkModel(bound, log);
  if (!model) throw new Error(renderAll(log.diagnostics()));
  return model;
};

describe.each([
  ['the bard', bard],
  ['61 layers of 256 experts', wide],
])('%s', (_, bound) => {
  const model = checked(bound);
  const one = { tokens: 1, rows: 1 };

  test.each([1, 4096])('costs in its parts what its graph costs, at a context of %i', (keys) => {
    const { total } = partCosts(model, { keys });
    const graph = costOf(
      lowerModel(model, () => 'f32'),
      { ...one, keys },
    );
    expect({ ...total, parameters: 0, bytes: 0 }).toEqual({ ...graph, parameters: 0, bytes: 0 });
  });

  test('loses little when its graph is simplified', () => {
    const { total } = partCosts(model, { keys: 64 });
    const graph = costOf(compileGraph(bound, undefined).graph, { ...one, keys: 64 });
    expect(graph.weightBytes).toBe(total.weightBytes);
    expect(graph.flops).toBeLessThanOrEqual(total.flops);
    expect(graph.flops / total.flops).toBeGreaterThan(0.98);
  });

  test('reads weights in the type that they are stored in, as its graph does', () => {
    const { total } = partCosts(model, { keys: 64, dtypeOf: () => 'bf16' });
    const graph = simplify(lowerModel(model, () => 'bf16'));
    expect(costOf(graph, { ...one, keys: 64 }).weightBytes).toBe(total.weightBytes);
    expect(total.bytes).toBe(2 * total.parameters);
  });

  test('sums up: a run is its layers, a body its instances, weights and ops', () => {
    const cost = partCosts(model, { keys: 64 });
    const [repeat] = model.body.statements.filter((s) => s.kind === 'repeat');
    if (repeat?.kind !== 'repeat') throw new Error('no repeat');
    for (const run of repeat.runs) {
      const flops = run.bodies.map((b) => cost.bodies.get(b)?.flops ?? 0);
      const sum = flops.reduce((a, b) => a + b, 0);
      expect(cost.runs.get(run)?.flops).toBe(run.count * sum);
      for (const body of run.bodies) {
        const inside = body.instances.map((i) => cost.instances.get(i)?.parameters ?? NaN);
        expect(cost.bodies.get(body)?.parameters).toBe(inside.reduce((a, b) => a + b, 0));
      }
    }
  });
});

test('experts: a token reads the chosen ones alone, and all are stored', () => {
  const model = checked(wide);
  const cost = partCosts(model, { keys: 1, dtypeOf: () => 'bf16' });
  const experts = [...cost.weights].filter(([w]) => w.path.includes('experts.gate'));
  expect(experts.length).toBeGreaterThan(0);
  for (const [w, own] of experts) {
    expect(w.type.shape).toEqual([256, 2048, 7168]);
    expect(own.bytes).toBe(2 * 256 * 2048 * 7168);
    expect(own.weightBytes).toBe(2 * 8 * 2048 * 7168);
    expect(own.flops).toBe(2 * 8 * 2048 * 7168);
  }
});

test('the widest model takes milliseconds', () => {
  const model = checked(wide);
  partCosts(model, { keys: 4096 });
  const times = Array.from({ length: 5 }, () => {
    const began = performance.now();
    partCosts(model, { keys: 4096 });
    return performance.now() - began;
  });
  expect(Math.min(...times)).toBeLessThan(20);
});

const product = block`
  product(x: [t, d], w: [e, d]) -> [t, e] { return x @ w.T }
`;
const lent = bind(model`
  lent(ids: i32 [t]) -> [t, 16] {
    weight embed: [16, 8]
    return ${product}(embed[ids], embed)
  }
`);

test('weights that a block without its own is given cost what reads them, as they are stored', () => {
  const read = (dtype: 'f32' | 'bf16'): number => {
    const { weights } = partCosts(checked(lent), { keys: 1, dtypeOf: () => dtype });
    return [...weights.values()].reduce((sum, cost) => sum + cost.weightBytes, 0);
  };
  // All of the product's, and of the row that is looked up.
  expect(read('f32')).toBe(4 * (16 * 8 + 8));
  expect(read('bf16')).toBe(2 * (16 * 8 + 8));
});
