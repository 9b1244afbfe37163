/** Attention inside layers: functions handed to blocks, several things at once, a layer on its own. */
import { describe, expect, test } from 'vitest';
import { printGraph } from '../compiler/3-graph/print.ts';
import { readGraph } from '../compiler/3-graph/read.ts';
import { compileGraph, compileProgram } from '../compiler/compile.ts';
import { type Template, bind } from '../compiler/index.ts';
import { type Case, build, sizes } from './helpers/attention.ts';
import { heads, ids, logits } from './helpers/attention-variants.ts';
import { deviationOf, maxError } from './helpers/golden.ts';
import { bundleOf, loadBundle, referenceOf } from './helpers/models.ts';
import { templateOf } from './helpers/template.ts';

const gqa =
  templateOf(`gqa(x: [t, h, n], k: [t, kv, n], v: [t, kv, n]; mask: fn, score: fn, sink: fn) -> [t, h, n] {
  weight wk: [kv * n, h * n], wv: [kv * n, h * n]
  flat = x as [t, h * n]
  own = k + 0.1 * (flat @ wk.T) as [t, kv, n]
  return attend(x, own, v + (flat @ wv.T) as [t, kv, n], mask = mask, score = score, sink = sink)
}`);

/** Two layers over q, each with keys and values of its own. */
const layers = (functions: string, more = '', before = ''): Template =>
  templateOf(
    `layered(${heads}${more}) -> [t, heads, n] {
      ${before}
      x = q
      repeat layers[l: 2] {
        use attention = \${0}(${functions})
        x = x + attention(x, k, v)
      }
      return x
    }`,
    [gqa],
  );

const kinds = `weight kinds: [${sizes.vocab}, 1]
    docs = kinds[ids] as [t]`;
/** `kernels`: layers that differ in more than weights have one each. */
const cases: Readonly<Record<string, Case & { readonly kernels: number }>> = {
  'a document mask, a cap and a learned sink': {
    kernels: 1,
    block: layers(
      `mask = |i, j| docs[i] == docs[j], score = |s| 0.7 * tanh(s / 0.7), sink = |h| sinks[h]`,
      ', docs: [t]',
      'weight sinks: [heads]',
    ),
    before: kinds,
    inputs: ', docs',
    whole: { kinds: 3 },
  },
  'logarithmic buckets, a window for each head from a list that the layer picks': {
    kernels: 2,
    block: layers(
      `mask = |i, j, h| i - j < windows[l][h],
        score = |s, i, j, h| s + bias[bucket(i - j), h] * log(i + 2), sink = |h| -1 - h`,
      '',
      `weight bias: [12, heads]
      windows = [[5, 17, 33, 64], [64, 2, 20, 40]]
      bucket = |d| if d < 4 then d else min(4 + floor(log(d / 4) / log(16) * 8), 11)`,
    ),
  },
  'a path table, and a bias that a vector of the token gives each key': {
    kernels: 2,
    block: layers(
      `mask = |i, j| j % 7 == 0 or sees[docs[i], docs[j]] > 0,
        score = |s, i, j, h| s / (1 + exp(heat[l, h])) + dot(tags[i], tags[j]), sink = |h| 0`,
      ', docs: [t], tags: [t, c]',
      'weight sees: [3, 3], heat: [2, heads]',
    ),
    before: kinds,
    inputs: ', docs, x',
    whole: { kinds: 3 },
  },
};

describe.each(Object.entries(cases))('%s', (_, own) => {
  const built = build(own);

  test('is one kernel for layers that are alike, and what the interpreter says', async () => {
    const wanted = await logits(await referenceOf(built.bound, built.folder));
    const bundle = await bundleOf(built.bound, built.folder);
    const found = await logits(await loadBundle(bundle, { threads: 2, context: 256 }));
    expect(found.length).toBe(ids.length);
    expect(maxError(wanted, found) / deviationOf(wanted)).toBeLessThan(1e-4);
    const { kernels } = compileProgram(built.bound, undefined).program;
    const attending = kernels.filter((k) => k.name.startsWith('attend'));
    expect(attending.length).toBe(own.kernels);
  });

  test('has layers that are models of their own, with what their functions read as inputs', () => {
    for (const layer of [0, 1]) {
      const alone = built.bound.sub(`attention.layers[${layer}].attention`);
      const { graph } = compileGraph(alone, undefined);
      expect(readGraph(printGraph(graph)).nodes).toEqual(graph.nodes);
      const inputs = graph.nodes.flatMap((n) => (n.kind === 'input' ? [n.name] : []));
      const read = (own.inputs ?? '').includes('x') ? ['outer.docs', 'outer.tags'] : ['outer.docs'];
      expect(inputs).toEqual(own.inputs ? ['x', 'k', 'v', ...read] : ['x', 'k', 'v']);
    }
  });
});

test('layers cannot share an instance that keeps state', () => {
  const net = templateOf(
    `net(ids: i32[t]) -> [t, 32] {
      weight table: [16, 32]
      use shared = \${0}()
      x = table[ids] as [t, 4, 8]
      repeat layers[l: 3] { x = x + shared(x) }
      return x as [t, 32]
    }`,
    [templateOf('causal(x: [t, 4, 8]) -> [t, 4, 8] { return attend(x, x, x) }')],
    'model',
  );
  expect(() => compileGraph(bind(net), undefined)).toThrow(/shared keeps state/);
});
