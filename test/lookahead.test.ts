/** The lookahead of the ways to route, what `inspect` says of it, and that they run on wasm. */
import { expect, test } from 'vitest';
import { benchCheck, deepseekV3 } from '../bench/check-time.ts';
import { lookaheads } from '../compiler/3-graph/lookahead.ts';
import { lookaheadLines } from '../compiler/cli/lookahead-text.ts';
import { type Template, bind, block, model } from '../compiler/index.ts';
import { gqa, rmsNorm, softmaxThenTop, swigluExperts, topThenSoftmax } from '../stdlib/index.ts';
import { maxError } from './helpers/golden.ts';
import { bundleOf, loadBundle, referenceOf } from './helpers/models.ts';
import { checked, checkpointOf } from './helpers/random-weights.ts';

const attention = { frequencies: [1, 0.1] };
const ordinary = model`
  ordinary(ids: i32 [t]; frequencies: [real]) -> [t, 11] {
    weight embed: [11, 12]
    x = embed[ids]
    repeat layers[l: 3] {
      use attn = ${gqa}(heads = 3, kv_heads = 1, head = 4, frequencies = frequencies)
      use gate = ${softmaxThenTop}(experts = 8, active = 2)
      use moe = ${swigluExperts}(experts = 8, inner = 6)
      x = x + attn(x)
      share, chosen = gate(x)
      x = x + moe(x, share, chosen)
    }
    return x @ embed.T
  }
`;
const early = model`
  early(ids: i32 [t]; frequencies: [real]) -> [t, 11] {
    weight embed: [11, 12]
    x = embed[ids]
    repeat layers[l: 3] {
      use attn = ${gqa}(heads = 3, kv_heads = 1, head = 4, frequencies = frequencies)
      use gate = ${topThenSoftmax}(experts = 8, active = 2)
      use moe = ${swigluExperts}(experts = 8, inner = 6)
      share, chosen = gate(x)
      x = x + attn(x)
      x = x + moe(x, share, chosen)
    }
    return x @ embed.T
  }
`;
const preGated = model`
  preGated(ids: i32 [t]; frequencies: [real]) -> [t, 11] {
    weight embed: [11, 12]
    x = embed[ids]
    use first = ${softmaxThenTop}(experts = 8, active = 2)
    share, chosen = first(x)
    repeat layers[l: 3] {
      use attn = ${gqa}(heads = 3, kv_heads = 1, head = 4, frequencies = frequencies)
      use gate = ${softmaxThenTop}(experts = 8, active = 2)
      use moe = ${swigluExperts}(experts = 8, inner = 6)
      h = x + attn(x)
      x = h + moe(h, share, chosen)
      share, chosen = gate(h)
    }
    return x @ embed.T
  }
`;
const decoupled = model`
  decoupled(ids: i32 [t]; frequencies: [real]) -> [t, 11] {
    weight embed: [11, 12]
    x = embed[ids]
    use router = ${topThenSoftmax}(experts = 8, active = 2)
    share, chosen = router(x)
    repeat layers[l: 3] {
      use attn = ${gqa}(heads = 3, kv_heads = 1, head = 4, frequencies = frequencies)
      use moe = ${swigluExperts}(experts = 8, inner = 6)
      x = x + attn(x)
      x = x + moe(x, share, chosen)
    }
    return x @ embed.T
  }
`;
const aheadOf = (template: Template) =>
  lookaheads(checked(bind(template, { params: attention })), { keys: 100 });

test.each([ordinary, early, preGated, decoupled])('runs on wasm as interpreted: %#', async (t) => {
  const bound = bind(t, { params: attention });
  const folder = checkpointOf(bound, new Map());
  const ids = [3, 1, 4, 1, 5, 9, 2, 6];
  const reference = await referenceOf(bound, folder);
  const wasm = await loadBundle(await bundleOf(bound, folder));
  expect(maxError(await reference.logits(ids), await wasm.logits(ids))).toBeLessThan(1e-3);
  wasm.close();
});

test('an ordinary router leaves nothing between choice and use', () => {
  const all = aheadOf(ordinary);
  expect(all.map((a) => [a.layer, a.layers, a.flops, a.source])).toEqual(
    [0, 1, 2].map((l) => [l, 0, 0, 'residual']),
  );
  expect(all[1]?.weights).toEqual(
    ['gate_proj', 'up_proj', 'down_proj'].map((w) => `layers.1.moe.${w}`),
  );
});

test('a router of the raw input leaves the attention of the layer', () => {
  for (const a of aheadOf(early)) {
    expect(a).toMatchObject({ layers: 0, source: 'residual', afterAttention: false });
    expect(a).toMatchObject({ targets: 'this layer', beforeLayers: false });
    // Four projections, and keys and values of 100 entries.
    expect(a.weightBytes).toBe(4 * (12 * 12 + 4 * 12 + 4 * 12 + 12 * 12));
    expect(a.stateBytes).toBeGreaterThanOrEqual(4 * 100 * 8);
  }
});

test('a router for the next layer leaves a whole layer, and the first gate is known before all', () => {
  const [first, second, third] = aheadOf(preGated);
  expect(first).toMatchObject({ layers: 0, source: 'ids', beforeLayers: true });
  expect(second).toMatchObject({ layers: 1, source: 'experts', beforeLayers: false });
  expect(third).toMatchObject({ layers: 1, source: 'experts' });
  expect(third?.flops).toBe(second?.flops);
  expect(third?.flops).toBeGreaterThan(first?.flops ?? NaN);
});

test('one router for all layers is known before the first', () => {
  const all = aheadOf(decoupled);
  expect(all.map((a) => [a.layers, a.source, a.beforeLayers])).toEqual(
    [0, 1, 2].map((l) => [l, 'ids', true]),
  );
  const [one, two, three] = all.map((a) => a.flops);
  expect(three).toBeGreaterThan(two ?? NaN);
  expect(two).toBeGreaterThan(one ?? NaN);
});

test('DeepSeek-V3 checks far under a second, and its experts have no lookahead', () => {
  expect(benchCheck(3).warmMs).toBeLessThan(600);
  const all = lookaheads(checked(deepseekV3()), { keys: 4096 });
  expect(all).toHaveLength(58);
  expect(all.every((a) => a.layers === 0 && a.flops === 0)).toBe(true);
});

const normed = model`
  normed(ids: i32 [t]; frequencies: [real]) -> [t, 11] {
    weight embed: [11, 12]
    x = embed[ids]
    repeat layers[l: 3] {
      use attn = ${gqa}(heads = 3, kv_heads = 1, head = 4, frequencies = frequencies)
      use norm = ${rmsNorm}()
      use gate = ${softmaxThenTop}(experts = 8, active = 2)
      use moe = ${swigluExperts}(experts = 8, inner = 6)
      x = x + attn(x)
      h = norm(x)
      share, chosen = gate(h)
      x = x + moe(h, share, chosen)
    }
    return x @ embed.T
  }
`;

test('a norm of the residual is told from the residual', () => {
  expect(aheadOf(normed).map((a) => [a.source, a.afterAttention, a.targets])).toEqual(
    [0, 1, 2].map(() => ['norm', true, 'this layer']),
  );
});

const printed: readonly (readonly [string, Template, readonly string[]])[] = [
  ['after a norm', normed, [
    'experts of layers 0 .. 2: source norm of the residual after the attention of the layer; targets this layer; lookahead 0, used at once',
  ]],
  ['from the raw residual', early, [
    'experts of layers 0 .. 2: source raw residual before the attention of the layer; targets this layer; lookahead 0 layers, 0.00579 MFLOP, 4.7 KiB of weights and state',
  ]],
  ['for the next layer', preGated, [
    'experts of layer 0: source token ids, before the first layer; targets next layer; lookahead 0 layers, 0.00579 MFLOP, 4.7 KiB of weights and state',
    'experts of layers 1 .. 2: source input of the experts of the layer before; targets next layer; lookahead 1 layer, 0.00717 MFLOP, 6.7 KiB of weights and state',
  ]],
  ['for all layers', decoupled, [
    'experts of layers 0 .. 2: source token ids, before the first layer; targets all layers; lookahead 0 .. 2 layers, 0.00579 .. 0.0195 MFLOP, 4.7 KiB .. 17.3 KiB of weights and state',
  ]],
]; // prettier-ignore

test.each(printed)('inspect prints a router %s', (_, template, lines) => {
  expect(lookaheadLines(aheadOf(template))).toEqual(lines);
});

const mixedLayer = block`
  mixedLayer(x: [t, d], share: [t, 2], chosen: i32 [t, 2], all: [t, 2], all_chosen: i32 [t, 2];
             frequencies: [real]) -> [t, d], [t, 2], i32 [t, 2] {
    use attn = ${gqa}(heads = 3, kv_heads = 1, head = 4, frequencies = frequencies)
    use gate = ${softmaxThenTop}(experts = 8, active = 2)
    use moe = ${swigluExperts}(experts = 8, inner = 6)
    use more = ${swigluExperts}(experts = 8, inner = 6)
    h = x + attn(x)
    next, next_chosen = gate(h)
    return h + moe(h, share, chosen) + more(h, all, all_chosen), next, next_chosen
  }
`;
/** Pre-gated experts and experts chosen once, in 2 * 1,000 layers: a repeat has at most 1,024. */
const deep = model`
  deep(ids: i32 [t]; frequencies: [real]) -> [t, 11] {
    weight embed: [11, 12]
    x = embed[ids]
    use first = ${softmaxThenTop}(experts = 8, active = 2)
    use once = ${softmaxThenTop}(experts = 8, active = 2)
    share, chosen = first(x)
    all, all_chosen = once(x)
    repeat lower[l: 1000] {
      use layer = ${mixedLayer}(frequencies = frequencies)
      x, share, chosen = layer(x, share, chosen, all, all_chosen)
    }
    repeat upper[l: 1000] {
      use layer = ${mixedLayer}(frequencies = frequencies)
      x, share, chosen = layer(x, share, chosen, all, all_chosen)
    }
    return x @ embed.T
  }
`;

test('the lookahead of 2,000 layers grows with them, not with their square', () => {
  const layers = checked(bind(deep, { params: attention }));
  const began = performance.now();
  const all = lookaheads(layers, { keys: 100 });
  expect(performance.now() - began).toBeLessThan(5000);
  expect(all).toHaveLength(4000);
  const next = all.filter((a) => a.source === 'experts');
  expect(next).toHaveLength(1999);
  // The first of them also waits for the router that chooses once.
  expect(new Set(next.slice(1).map((a) => a.flops)).size).toBe(1);
  expect(all.filter((a) => a.targets === 'all layers')).toHaveLength(2000);
});
