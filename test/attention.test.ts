/** Attention as an expression: each variant means its formula on every target and is one kernel. */
import { describe, expect, test } from 'vitest';
import { printGraph } from '../compiler/3-graph/print.ts';
import { readGraph } from '../compiler/3-graph/read.ts';
import { compileGraph, compileProgram } from '../compiler/compile.ts';
import { type Case, build, naive } from './helpers/attention.ts';
import {
  accepted,
  fences,
  heads,
  ids,
  logits,
  published,
  variants,
} from './helpers/attention-variants.ts';
import { deviationOf, maxError } from './helpers/golden.ts';
import { bundleOf, loadBundle, referenceOf } from './helpers/models.ts';
import { templateOf } from './helpers/template.ts';

test('the book has the twelve, of at most 15 lines each', () => {
  expect([...fences.keys()]).toEqual(Object.keys(published));
  for (const [name, text] of fences) {
    expect(text.trimEnd().split('\n').length, name).toBeLessThanOrEqual(15);
  }
});

function once<T>(make: () => T): () => T {
  let made: T | undefined;
  return () => (made ??= make());
}

const causal: Case = {
  block: templateOf(`causal(${heads}) -> [t, heads, n] { return attend(q, k, v) }`),
};
/** Without the one that combines parts of keys, which attention entry by entry has none of. */
const kernelsOf = (c: Case) =>
  compileProgram(build(c).bound, undefined).program.kernels.filter((k) => k.name !== 'merge');

describe.each(variants)('%s', (_, variant) => {
  const built = build(variant);
  const bundle = once(() => bundleOf(built.bound, built.folder));
  const wanted = naive(built.weights, ids, variant.formula);

  test('means its formula', async () => {
    const found = await logits(await referenceOf(built.bound, built.folder));
    expect(maxError(wanted, found) / deviationOf(wanted)).toBeLessThan(1e-6);
  });

  test.each([1, 2])('is the same in wasm, %i threads', async (threads) => {
    const found = await logits(await loadBundle(await bundle(), { threads, context: 256 }));
    expect(maxError(wanted, found) / deviationOf(wanted)).toBeLessThan(accepted);
  });

  test('prints as a graph that reads back', () => {
    const { graph } = compileGraph(built.bound, undefined);
    expect(readGraph(printGraph(graph)).nodes).toEqual(graph.nodes);
  });

  test('is one kernel', () => {
    const kernels = kernelsOf(variant);
    const attending = kernels.filter((k) => k.name.startsWith('attend'));
    expect(attending.length).toBe(1 + (variant.attends ?? 0));
    expect(kernels.length).toBe(kernelsOf(causal).length + (variant.more ?? 0));
  });
});
