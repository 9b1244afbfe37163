/** Routers against naive arithmetic, and the lookahead of the ways to route. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { benchCheck, deepseekV3 } from '../bench/check-time.ts';
import { constantDim } from '../compiler/base/dim.ts';
import { makeLog } from '../compiler/base/diagnostic.ts';
import { renderAll } from '../compiler/base/render.ts';
import { checkModel } from '../compiler/2-model/check.ts';
import { type Model, nameAt } from '../compiler/2-model/model.ts';
import { weightsOf } from '../compiler/2-model/weights.ts';
import { lookaheads } from '../compiler/3-graph/lookahead.ts';
import { type BoundModel, type Template, bind, block, model } from '../compiler/index.ts';
import {
  biasedSigmoid,
  gqa,
  groupLimited,
  softmaxThenTop,
  swigluExperts,
  topThenSigmoid,
  topThenSoftmax,
} from '../stdlib/index.ts';
import { maxError } from './helpers/golden.ts';
import { bundleOf, loadBundle, referenceOf, temporaryFolder } from './helpers/models.ts';
import { makeRandom } from './helpers/random-checkpoint.ts';

function checked(bound: BoundModel): Model {
  const log = makeLog();
  const found = checkModel(bound, log);
  if (!found) throw new Error(renderAll(log.diagnostics()));
  return found;
}

type Numbers = readonly number[];

/** A checkpoint of random weights, but for those given by name. */
function checkpointOf(bound: BoundModel, given: ReadonlyMap<string, Numbers>): string {
  const random = makeRandom(5);
  const header: Record<string, unknown> = {};
  const parts: Buffer[] = [];
  let offset = 0;
  for (const { weight, count } of weightsOf(checked(bound).body)) {
    for (let i = 0; i < count; i++) {
      const name = nameAt(weight.source, i);
      const shape = weight.type.shape.map((d) => constantDim(d) ?? NaN);
      const size = shape.reduce((a, b) => a * b, 1);
      const own = given.get(name);
      const data = Float32Array.from({ length: size }, (_, n) => own?.[n] ?? random() / 2);
      parts.push(Buffer.from(data.buffer));
      header[name] = { dtype: 'F32', shape, data_offsets: [offset, offset + 4 * size] };
      offset += 4 * size;
    }
  }
  const text = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  const folder = temporaryFolder();
  writeFileSync(join(folder, 'model.safetensors'), Buffer.concat([length, text, ...parts]));
  return folder;
}

const [vocab, width, experts, active] = [8, 12, 8, 3];
const random = makeRandom(7);
const draw = (n: number): number[] => Array.from({ length: n }, () => random());
const embed = draw(vocab * width).map((v, i) => (i % width === 0 ? 1 : v));
const gate = draw(experts * width);
const bias = draw(experts);
/** Expert e copies element 0, which is 1 in every token, to output e. */
const marks = Array.from({ length: experts * experts * width }, (_, i) => {
  const [e, n] = [Math.floor(i / (experts * width)), Math.floor(i / width) % experts];
  return e === n && i % width === 0 ? 1 : 0;
});
const given = new Map([
  ['embed', embed],
  ['ones', draw(8 * 12).map(() => 1)],
  ['marks.w', marks],
  ['gate.weight', gate],
  ['gate.bias', bias],
  ['gate.e_score_correction_bias', bias],
]);

/** Each expert's share at its number: what a router chose, as logits. */
const spread = block`
  spread(x: [t, 12], share: [t, active], chosen: i32 [t, active]) -> [t, 8] {
    weight w: [8, 8, 12]
    y = grouped(x, w, chosen)
    return sum(y * (share as [t, active, 1]), axis = 1) as [t, 8]
  }
`;

const softmaxTop = model`
  shares(ids: i32 [t]) -> [t, 8] {
    weight embed: [8, 12], ones: [8, 12]
    use gate = ${softmaxThenTop}(experts = 8, active = 3, renormalise = true)
    use marks = ${spread}()
    share, chosen = gate(embed[ids])
    return marks(ones[ids], share, chosen)
  }
`;
const switchTop = model`
  shares(ids: i32 [t]) -> [t, 8] {
    weight embed: [8, 12], ones: [8, 12]
    use gate = ${softmaxThenTop}(experts = 8, active = 1)
    use marks = ${spread}()
    share, chosen = gate(embed[ids])
    return marks(ones[ids], share, chosen)
  }
`;
const topSoftmax = model`
  shares(ids: i32 [t]) -> [t, 8] {
    weight embed: [8, 12], ones: [8, 12]
    use gate = ${topThenSoftmax}(experts = 8, active = 3, bias = true)
    use marks = ${spread}()
    share, chosen = gate(embed[ids])
    return marks(ones[ids], share, chosen)
  }
`;
const topSigmoid = model`
  shares(ids: i32 [t]) -> [t, 8] {
    weight embed: [8, 12], ones: [8, 12]
    use gate = ${topThenSigmoid}(experts = 8, active = 3)
    use marks = ${spread}()
    share, chosen = gate(embed[ids])
    return marks(ones[ids], share, chosen)
  }
`;
const limitedSoftmax = model`
  shares(ids: i32 [t]) -> [t, 8] {
    weight embed: [8, 12], ones: [8, 12]
    use gate = ${groupLimited}(experts = 8, active = 3, groups = 4, kept = 2, scale = 16)
    use marks = ${spread}()
    share, chosen = gate(embed[ids])
    return marks(ones[ids], share, chosen)
  }
`;
const limitedSigmoid = model`
  shares(ids: i32 [t]) -> [t, 8] {
    weight embed: [8, 12], ones: [8, 12]
    use gate = ${biasedSigmoid}(experts = 8, active = 3, groups = 4, kept = 2, scale = 2.5)
    use marks = ${spread}()
    share, chosen = gate(embed[ids])
    return marks(ones[ids], share, chosen)
  }
`;

const total = (x: Numbers): number => x.reduce((a, b) => a + b, 0);
const softmaxOf = (x: Numbers): number[] => {
  const powers = x.map(Math.exp);
  return powers.map((p) => p / total(powers));
};
const normal = (x: Numbers): number[] => x.map((v) => v / total(x));
const sigmoidOf = (v: number): number => 1 / (1 + Math.exp(-v));
const best = (x: Numbers, n: number): number[] =>
  [...x.keys()].sort((a, b) => (x[b] ?? 0) - (x[a] ?? 0)).slice(0, n);
const at = (x: Numbers, places: Numbers): number[] => places.map((i) => x[i] ?? NaN);
const biased = (x: Numbers): number[] => x.map((v, i) => v + (bias[i] ?? NaN));

/** -Infinity outside of the two of four groups with the largest sums of their `of` best. */
function limited(x: Numbers, of: number): number[] {
  const groups = [0, 1, 2, 3].map((g) => x.slice(2 * g, 2 * g + 2));
  const kept = best(
    groups.map((own) => total(at(own, best(own, of)))),
    2,
  );
  return x.map((v, i) => (kept.includes(Math.floor(i / 2)) ? v : -Infinity));
}

type Naive = (logits: Numbers) => { readonly chosen: Numbers; readonly share: Numbers };
const routers: readonly (readonly [string, Template, Naive])[] = [
  ['softmax, top, renormalised', softmaxTop, (l) => {
    const chosen = best(l, active);
    return { chosen, share: normal(at(softmaxOf(l), chosen)) };
  }],
  ['Switch: softmax, the best', switchTop, (l) => {
    const chosen = best(l, 1);
    return { chosen, share: at(softmaxOf(l), chosen) };
  }],
  ['gpt-oss: bias, top, softmax', topSoftmax, (l) => {
    const chosen = best(biased(l), active);
    return { chosen, share: softmaxOf(at(biased(l), chosen)) };
  }],
  ['top, sigmoid', topSigmoid, (l) => {
    const chosen = best(l, active);
    return { chosen, share: normal(at(l, chosen).map(sigmoidOf)) };
  }],
  ['DeepSeek-V2: groups by their best', limitedSoftmax, (l) => {
    const chosen = best(limited(softmaxOf(l), 1), active);
    return { chosen, share: at(softmaxOf(l), chosen).map((s) => 16 * s) };
  }],
  ['DeepSeek-V3: groups by their two best under a bias', limitedSigmoid, (l) => {
    const scores = l.map(sigmoidOf);
    const chosen = best(limited(biased(scores), 2), active);
    return { chosen, share: normal(at(scores, chosen)).map((s) => 2.5 * s) };
  }],
]; // prettier-ignore

describe.each(routers)('%s', (_, template, naive) => {
  const bound = bind(template);
  const ids = Array.from({ length: vocab }, (_, i) => i);
  const wanted = ids.map((token) => {
    const x = embed.slice(token * width, (token + 1) * width).map(Math.fround);
    const logits = Array.from({ length: experts }, (_, e) =>
      total(x.map((v, i) => v * Math.fround(gate[e * width + i] ?? NaN))),
    );
    const { chosen, share } = naive(logits);
    const row = new Float32Array(experts);
    chosen.forEach((e, i) => (row[e] = share[i] ?? NaN));
    return row;
  });

  test('chooses and weighs as naive arithmetic does', async () => {
    const folder = checkpointOf(bound, given);
    const reference = await referenceOf(bound, folder);
    expect(maxError(wanted, await reference.logits(ids))).toBeLessThan(1e-6);
    const wasm = await loadBundle(await bundleOf(bound, folder));
    expect(maxError(wanted, await wasm.logits(ids))).toBeLessThan(2e-5);
    wasm.close();
  });
});

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
    [0, 1, 2].map((l) => [l, 0, 0, 'attention']),
  );
  expect(all[1]?.weights).toEqual(
    ['gate_proj', 'up_proj', 'down_proj'].map((w) => `layers.1.moe.${w}`),
  );
});

test('a router of the raw input leaves the attention of the layer', () => {
  for (const a of aheadOf(early)) {
    expect(a).toMatchObject({ layers: 0, source: 'input', beforeLayers: false });
    // Four projections, and keys and values of 100 entries.
    expect(a.weightBytes).toBe(4 * (12 * 12 + 4 * 12 + 4 * 12 + 12 * 12));
    expect(a.stateBytes).toBeGreaterThanOrEqual(4 * 100 * 8);
  }
});

test('a router for the next layer leaves a whole layer, and the first gate is known before all', () => {
  const [first, second, third] = aheadOf(preGated);
  expect(first).toMatchObject({ layers: 0, source: 'ids', beforeLayers: true });
  expect(second).toMatchObject({ layers: 1, source: 'earlier', beforeLayers: false });
  expect(third).toMatchObject({ layers: 1, source: 'earlier' });
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
