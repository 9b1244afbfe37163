/** The graph prints, reads back, verifies, and its rules keep its meaning. */
import { describe, expect, test } from 'vitest';
import { compileGraph } from '../compiler/compile.ts';
import { makeLog } from '../compiler/base/diagnostic.ts';
import { checkModel } from '../compiler/2-model/check.ts';
import { lowerModel } from '../compiler/3-graph/lower.ts';
import { printGraph } from '../compiler/3-graph/print.ts';
import { readGraph } from '../compiler/3-graph/read.ts';
import { rules } from '../compiler/3-graph/rules.ts';
import { simplify } from '../compiler/3-graph/simplify.ts';
import { verifyGraph } from '../compiler/3-graph/verify.ts';
import type { Graph } from '../compiler/3-graph/graph.ts';
import { openReference, readWeights } from '../compiler/cli/reference-device.ts';
import { nodeFiles } from '../compiler/cli/node-files.ts';
import { readCheckpoint } from '../compiler/8-bundle/checkpoint.ts';
import bard from '../examples/bard/model.ts';
import { makeModel } from '../runtime/model.ts';
import { fixture, goldenNames, maxError } from './helpers/golden.ts';
import { familyModel } from './helpers/models.ts';

const models = [
  ...goldenNames.map((n) => [n, familyModel(fixture(`goldens/${n}`))] as const),
  ['bard', bard] as const,
];

function plainGraph(bound: (typeof models)[number][1]): Graph {
  const log = makeLog();
  const model = checkModel(bound, log);
  if (!model) throw new Error('no model');
  return lowerModel(model, () => 'bf16');
}

describe.each(models)('%s', (_, bound) => {
  test('read(print(g)) is g', () => {
    const graph = compileGraph(bound, undefined).graph;
    const read = readGraph(printGraph(graph));
    expect(read.nodes).toEqual(graph.nodes);
    expect(read.types).toEqual(graph.types);
    expect(read.results).toEqual(graph.results);
  });

  test('verifies before and after every rewrite', () => {
    const graph = plainGraph(bound);
    expect(verifyGraph(graph)).toEqual([]);
    const fired = new Set<string>();
    simplify(graph, (rule, _before, after) => {
      fired.add(rule);
      expect(verifyGraph(after), rule).toEqual([]);
    });
    expect(fired.size).toBeGreaterThan(2);
  });
});

test('every rule fires somewhere', () => {
  const fired = new Set<string>();
  const note = (rule: string): unknown => fired.add(rule);
  for (const [, bound] of models) simplify(plainGraph(bound), note);
  simplify(
    readGraph(`graph g {
  %0: i32[t] = step ids
  %1: f32[8, 4] = weight "w"
  %2: f32[t, 4] = gather(%1, %0)
  %3: f32[t, 2, 2] = reshape(%2) {shape = [0, 2, 2]}
  %4: f32[t, 4, 1] = reshape(%3) {shape = [0, 4, 1]}
  return %4
}
`),
    note,
  );
  expect(rules.map((r) => r.name).filter((n) => !fired.has(n))).toEqual([]);
});

test('rewriting keeps what a model computes, to rounding', async () => {
  const folder = fixture('goldens/smallthinker_21b');
  const bound = familyModel(folder);
  const checkpoint = await readCheckpoint(nodeFiles, folder);
  const { model, graph, weights } = compileGraph(bound, checkpoint);
  if (!weights) throw new Error('no weights');
  const plain = lowerModel(model, (path) => weights.weights.get(path)?.dtype ?? 'f32');
  const reader = await readWeights(weights, checkpoint, nodeFiles);
  const sizes = { threads: 1, context: 64, capacity: 64, sequences: 1 };
  const run = (g: Graph) =>
    makeModel(openReference(g, reader, sizes), { name: '', eos: [] }, undefined).logits([
      5, 9, 2, 77,
    ]);
  expect(maxError(await run(plain), await run(graph))).toBeLessThan(1e-5);
});

describe('verify finds', () => {
  const good = `graph g {
  %0: i32[t] = step ids
  %1: f32[8, 4] = weight "w"
  %2: f32[t, 4] = gather(%1, %0)
  return %2
}
`;
  test('nothing in a good graph', () => {
    expect(verifyGraph(readGraph(good))).toEqual([]);
  });
  test.each([
    [
      'a wrong type',
      /\[t, 4\] = gather/,
      '[t, 5] = gather',
      /%2 is f32\[t, 5\], gather gives f32\[t, 4\]/,
    ],
    ['a value read too early', 'gather(%1, %0)', 'gather(%1, %7)', /%7 is read before/],
    ['a result that is not there', 'return %2', 'return %9', /result %9 is not there/],
    ['too few operands', 'gather(%1, %0)', 'gather(%1)', /gather has 1 operands/],
    ['a loop weight outside loops', '"w"', '"w.{0+1i}"', /outside of any/],
  ])('%s', (_, from, to, expected) => {
    expect(verifyGraph(readGraph(good.replace(from, to))).join('\n')).toMatch(expected);
  });
});

test.each([
  ['', /expected graph NAME/],
  ['graph g {\n  %0: i32[t] = step ids\n}', /expected return/],
  ['graph g {\n  %0: i33[t] = step ids\n  return %0\n}', /line 2: no element type i33/],
  ['graph g {\n  %0: i32[q] = step ids\n  return %0\n}', /line 2: no size q/],
  ['graph g {\n  %0: i32[t] = frob(%1)\n  return %0\n}', /line 2: no op frob/],
])('reading %j fails with the line', (text, message) => {
  expect(() => readGraph(text)).toThrow(message);
});
