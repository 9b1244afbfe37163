/** Routers and experts against naive arithmetic; the models of the book of routing. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { lookaheads } from '../compiler/3-graph/lookahead.ts';
import { type Template, bind, block, model } from '../compiler/index.ts';
import {
  biasedSigmoid,
  gatedShared,
  gqa,
  groupLimited,
  softmaxThenTop,
  swigluExperts,
  topThenSigmoid,
  topThenSoftmax,
} from '../stdlib/index.ts';
import { maxError } from './helpers/golden.ts';
import { bundleOf, loadBundle, referenceOf } from './helpers/models.ts';
import { makeRandom } from './helpers/random-checkpoint.ts';
import { type Numbers, checked, checkpointOf } from './helpers/random-weights.ts';
import { templateOf } from './helpers/template.ts';

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

const qwen = model`
  qwen(ids: i32 [t]) -> [t, 12] {
    weight embed: [8, 12]
    use mlp = ${gatedShared}(experts = 8, active = 3, inner = 5, shared = 7, renormalise = true)
    return mlp(embed[ids])
  }
`;

/** y[n] = sum of w[n, k] x[k], the rows of `w` one after another. */
const times = (w: Numbers, x: Numbers): number[] =>
  Array.from({ length: w.length / x.length }, (_, n) =>
    total(x.map((v, k) => v * (w[n * x.length + k] ?? NaN))),
  );

test('experts beside a shared one with a sigmoid gate: as naive arithmetic does', async () => {
  const sizes: readonly (readonly [string, number])[] = [
    ['mlp.gate.weight', experts * width],
    ['mlp.shared_expert_gate', width],
    ...['gate_proj', 'up_proj', 'down_proj'].flatMap((w) => [
      [`mlp.shared_expert.${w}`, 7 * width] as const,
      ...Array.from({ length: experts }, (_, e) => [`mlp.experts.${e}.${w}`, 5 * width] as const),
    ]),
  ];
  const weights = new Map(sizes.map(([name, n]) => [name, draw(n).map(Math.fround)]));
  const weight = (name: string): Numbers => weights.get(name) ?? [];
  const swigluOf = (path: string, x: Numbers): number[] => {
    const up = times(weight(`${path}.up_proj`), x);
    const inner = times(weight(`${path}.gate_proj`), x).map(
      (g, i) => g * sigmoidOf(g) * (up[i] ?? NaN),
    );
    return times(weight(`${path}.down_proj`), inner);
  };
  const ids = Array.from({ length: vocab }, (_, i) => i);
  const wanted = ids.map((token) => {
    const x = embed.slice(token * width, (token + 1) * width).map(Math.fround);
    const scores = softmaxOf(times(weight('mlp.gate.weight'), x));
    const chosen = best(scores, active);
    const share = normal(at(scores, chosen));
    const open = sigmoidOf(times(weight('mlp.shared_expert_gate'), x)[0] ?? NaN);
    const parts = [
      swigluOf('mlp.shared_expert', x).map((v) => v * open),
      ...chosen.map((e, i) => swigluOf(`mlp.experts.${e}`, x).map((v) => v * (share[i] ?? NaN))),
    ];
    return Float32Array.from({ length: width }, (_, i) => total(parts.map((p) => p[i] ?? NaN)));
  });
  const bound = bind(qwen);
  const folder = checkpointOf(bound, new Map([['embed', embed], ...weights]));
  const reference = await referenceOf(bound, folder);
  expect(maxError(wanted, await reference.logits(ids))).toBeLessThan(1e-6);
  const wasm = await loadBundle(await bundleOf(bound, folder));
  expect(maxError(wanted, await wasm.logits(ids))).toBeLessThan(2e-5);
  wasm.close();
});

const text = readFileSync(fileURLToPath(new URL('../spec/routing.md', import.meta.url)), 'utf8');
const fences = [
  ...text.matchAll(/^```ts\n(?:(?!^```)[^])*?export const (\w+) = model`\n([^]*?)`;\n```$/gm),
].map((m) => [m[1] ?? '', m[2] ?? ''] as const);
const library: Readonly<Record<string, Template>> = {
  gqa,
  softmaxThenTop,
  swigluExperts,
  topThenSoftmax,
};

/** A model of the book; the library's blocks by their names. */
function fenceOf(source: string): Template {
  const holes: Template[] = [];
  const marked = source.replace(/\$\{(\w+)\}/g, (_, name: string) => {
    const hole = library[name];
    if (!hole) throw new Error(`the book uses ${name}`);
    return `\${${holes.push(hole) - 1}}`;
  });
  return templateOf(marked, holes, 'model');
}

test('the book has models that choose for the next layer, once, and once with heads', () => {
  expect(fences.map(([name]) => name)).toEqual(['preGated', 'decoupled', 'headed']);
});

test.each(fences)('%s of the book runs on wasm as interpreted', async (_, source) => {
  const frequencies = Array.from({ length: 8 }, (_, i) => 10 ** -i);
  const bound = bind(fenceOf(source), { params: { frequencies } });
  const folder = checkpointOf(bound, new Map());
  const ids = [3, 1, 4, 1, 5, 9, 2, 6];
  const wanted = await (await referenceOf(bound, folder)).logits(ids);
  const largest = Math.max(...wanted.flatMap((row) => [...row].map(Math.abs)));
  const wasm = await loadBundle(await bundleOf(bound, folder));
  expect(maxError(wanted, await wasm.logits(ids))).toBeLessThan(1e-5 * largest);
  wasm.close();
});

test('heads that stand in the layers choose before the first where their router reads none', () => {
  const [, , headed] = fences;
  const bound = bind(fenceOf(headed?.[1] ?? ''), {
    params: { frequencies: Array.from({ length: 8 }, () => 1) },
  });
  const all = lookaheads(checked(bound), { keys: 100 });
  expect(all.map((a) => [a.layer, a.layers, a.source, a.targets, a.beforeLayers])).toEqual(
    [0, 1, 2, 3].map((l) => [l, l, 'ids', 'all layers', true]),
  );
});
