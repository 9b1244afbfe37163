import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { makeLog } from '../compiler/base/diagnostic.ts';
import { checkModel } from '../compiler/2-model/check.ts';
import { effectsOf, numericsOf } from '../compiler/2-model/effects.ts';
import { resolveSheets } from '../compiler/2-model/sheets.ts';
import { showSheetValue } from '../compiler/base/sheet-values.ts';
import { halfOf, halfToFloat } from '../compiler/base/half.ts';
import { bfloatOf } from '../compiler/8-bundle/convert.ts';
import { compileGraph, compileProgram, readSheets } from '../compiler/compile.ts';
import { readCheckpoint } from '../compiler/8-bundle/checkpoint.ts';
import { nodeFiles } from '../compiler/cli/node-files.ts';
import {
  type BoundModel,
  type SheetSource,
  bind,
  block,
  decode,
  definePolicy,
  model,
  place,
  precision,
} from '../compiler/index.ts';
import { draft, fp8, h100, lru, prefetch, slidingCache } from '../stdlib/index.ts';
import { bundleOf, familyModel, greedy, loadBundle, referenceOf } from './helpers/models.ts';

const dense = block`
  dense(x: [t, d]; inner: int) -> [t, d] {
    weight up: [inner, d], down: [d, inner]
    return (x @ up.T) @ down.T
  }
`;
const net = model`
  net(ids: i32 [t]; depth: int) -> [t, 16] {
    weight embed: [16, 8]
    x = embed[ids]
    repeat layers[l: depth] {
      use mlp = ${dense}(inner = 12)
      x = x + mlp(x)
    }
    return x @ embed.T
  }
`;
const bound = bind(net, { params: { depth: 8 } });

const experts = block`
  experts(x: [t, d]) -> [t, d] {
    weight gate: [4, d], up: [4, d, d]
    share, chosen = top_k(softmax(x @ gate.T), k = 2)
    return sum(grouped(x, up, chosen) * (share as [t, 2, 1]), axis = 1) as [t, d]
  }
`;
const routed = bind(model`
  routed(ids: i32 [t]) -> [t, 16] {
    weight embed: [16, 8]
    x = embed[ids]
    repeat layers[l: 3] {
      use moe = ${experts}()
      x = x + moe(x)
    }
    return x @ embed.T
  }
`);

const valuesOf = (...sheets: readonly SheetSource[]): ReadonlyMap<string, string> =>
  new Map(
    readSheets(bound, sheets).sheets.flatMap(({ part, settings }) =>
      [...settings].map(([name, { value }]) => [`${part.path} ${name}`, showSheetValue(value)]),
    ),
  );
const weights = 'precision.weights';

describe('the cascade', () => {
  test('properties go down to everything inside', () => {
    const found = valuesOf(precision`layers[3..] { weights: bf16 }`);
    expect(found.get(`layers.3.mlp.up ${weights}`)).toBe('bf16');
    expect(found.get(`layers.2.mlp.up ${weights}`)).toBeUndefined();
    expect(found.get(`embed ${weights}`)).toBeUndefined();
  });

  test('the nearer part wins, whatever the order', () => {
    const found = valuesOf(precision`layers.mlp { weights: f16 } layers { weights: bf16 }`);
    expect(found.get(`layers.0.mlp.down ${weights}`)).toBe('f16');
  });

  test('** is the model with everything inside, so that what is nearer wins', () => {
    const found = valuesOf(precision`:dense { weights: f16 } ** { weights: bf16 }`);
    expect(found.get(`layers.0.mlp.down ${weights}`)).toBe('f16');
    expect(found.get(`embed ${weights}`)).toBe('bf16');
  });

  test('more names win over fewer, then the later rule, then the later sheet', () => {
    const path = `layers.4.mlp ${weights}`;
    const named = precision`layers.mlp { weights: f16 }`;
    expect(valuesOf(named, precision`:dense { weights: bf16 }`).get(path)).toBe('f16');
    expect(valuesOf(named, precision`layers.mlp { weights: f32 }`).get(path)).toBe('f32');
    expect(valuesOf(precision`layers[4].mlp { weights: f32 }`, named).get(path)).toBe('f32');
  });

  test('every n-th layer, and layers from the end', () => {
    const found = valuesOf(precision`layers[::4] { weights: f16 } layers[-1] { weights: bf16 }`);
    const layers = Array.from({ length: 8 }, (_, l) => found.get(`layers.${l} ${weights}`));
    expect(layers).toEqual(['f16', , , , 'f16', , , 'bf16'].map((x) => x));
  });

  test('tests on parameters and on sizes', () => {
    const found = valuesOf(precision`**[inner > 8] { kv: f16 } **[rows >= 16] { weights: f16 }`);
    expect(found.get('layers.0.mlp precision.kv')).toBe('f16');
    expect([...found.keys()].filter((k) => k.endsWith(weights))).toEqual([`embed ${weights}`]);
  });
});

test('each value says the rule that it came from', () => {
  const { sheets } = readSheets(bound, [precision`layers.mlp { weights: f16 }`]);
  const up = sheets.find((s) => s.part.path === 'layers.2.mlp.up');
  const setting = up?.settings.get(weights);
  expect(setting?.from).toBe('layers.2.mlp');
  const { source, start, end } = setting?.selector ?? { source: { text: '' }, start: 0, end: 0 };
  expect(source.text.slice(start, end)).toBe('layers.mlp');
});

test('groups hold parts, policies are for parts that can have them', () => {
  const found = valuesOf(place`group gpu = ${h100} layers[..3] { on: gpu; pin: true }`);
  expect(found.get('layers.3.mlp.up place.on')).toBe('gpu');
  const codes = (...sheets: readonly SheetSource[]): string => {
    try {
      readSheets(bound, sheets);
      return '';
    } catch (e) {
      return e instanceof Error ? e.message : '';
    }
  };
  expect(codes(decode`** { kv: ${slidingCache({ size: 8 })} }`)).toContain('it has no positions');
  expect(codes(decode`layers { residency: ${lru(8)} }`)).toContain('it has no experts');
  expect(codes(decode`** { residency: ${slidingCache({ size: 8 })} }`)).toContain(
    'found the policy window for kv',
  );
  expect(codes(place`layers { on: gpu }`)).toContain('no group of hardware is named gpu');
});

test('parameters of policies are in their ranges', () => {
  expect(() => slidingCache({ size: 0 })).toThrow('size is a whole number from 1 to');
  expect(() =>
    definePolicy({ name: 'own', concern: 'kv', params: { n: 0.5 }, ranges: {}, needs: [] }),
  ).toThrow('n is a whole number');
});

test('layers that are stored alike stay one loop, those that differ are runs', () => {
  const runs = (...sheets: readonly SheetSource[]): readonly number[] =>
    compileGraph(bound, undefined, { sheets }).graph.nodes.flatMap((n) =>
      n.kind === 'loop' ? [n.count] : [],
    );
  expect(runs(precision`layers { weights: f16 }`)).toEqual([8]);
  expect(runs(precision`layers[3..] { weights: f16 }`)).toEqual([3, 5]);
});

test('what no target computes with is refused, what nothing acts on is told', () => {
  expect(() =>
    compileProgram(bound, undefined, { sheets: [precision`layers { weights: ${fp8} }`] }),
  ).toThrow('precision.weights of layers.0 is fp8, which only the reference interpreter');
  const sheets = [place`group gpu = ${h100} ** { on: gpu }`];
  expect(compileGraph(bound, undefined, { sheets }).warnings.map((w) => w.code)).toEqual([
    'sheet/no-effect',
  ]);
});

test('halves and bfloats are the nearest, ties to even', () => {
  for (let h = 0; h < 0x7c00; h += 7) expect(halfOf(halfToFloat(h))).toBe(h);
  expect([1 + 2 ** -11, 1 + 3 * 2 ** -11, 65520, 65519, 2 ** -25, -0].map(halfOf)).toEqual([
    0x3c00, 0x3c02, 0x7c00, 0x7bff, 0, 0x8000,
  ]);
  expect([1, 1 + 2 ** -8, 1 + 3 * 2 ** -8, NaN].map(bfloatOf)).toEqual([
    0x3f80, 0x3f80, 0x3f82, 0x7fc0,
  ]);
});

test('weights as a sheet stores them: wasm computes what the reference does', async () => {
  const folder = join(import.meta.dirname, 'fixtures/goldens/llama');
  const halves = familyModel(folder).with(
    precision`** { weights: bf16 } layers[1..] { weights: f16 }`,
  );
  const ids = [3, 7, 11];
  const wasm = await loadBundle(await bundleOf(halves, folder));
  const reference = await referenceOf(halves, folder);
  expect(await greedy(wasm, ids, 8)).toEqual(await greedy(reference, ids, 8));
  await wasm.close();
  const checkpoint = await readCheckpoint(nodeFiles, folder);
  const stored = [...(compileGraph(halves, checkpoint).weights?.weights.values() ?? [])];
  expect(new Set(stored.map((w) => w.dtype))).toEqual(new Set(['bf16', 'f16']));
});

test('61 layers of experts resolve within milliseconds', () => {
  const experts = block`
    experts(x: [t, d]; experts: int, inner: int) -> [t, d] {
      weight gate: [experts, d]
      weight up: [experts, inner, d] from "experts.*.up", down: [experts, d, inner] from "experts.*.down"
      share, chosen = top_k(softmax(x @ gate.T), k = 8)
      y = grouped(grouped(x, up, chosen), down, chosen)
      return sum(y * (share as [t, 8, 1]), axis = 1) as [t, d]
    }
  `;
  const large = bind(model`
    large(ids: i32 [t]) -> [t, 64] {
      weight embed: [64, 32]
      x = embed[ids]
      repeat layers[l: 61] {
        use moe = ${experts}(experts = 256, inner = 16)
        x = x + moe(x)
      }
      return x @ embed.T
    }
  `);
  const sheets = [
    precision`** { weights: bf16 } layers[3..].moe { weights: f16 } :linear { weights: f32 }`,
  ];
  const log = makeLog();
  const checked = checkModel(large, log);
  if (!checked) throw new Error('no model');
  // The best of some: others use the machine too.
  const times = Array.from({ length: 5 }, () => {
    const began = performance.now();
    resolveSheets(checked, sheets, log);
    return performance.now() - began;
  });
  expect(Math.min(...times)).toBeLessThan(60);
  const numerics = numericsOf(effectsOf(resolveSheets(checked, sheets, log)), undefined);
  const again = Array.from({ length: 5 }, () => {
    const began = performance.now();
    checkModel(large, log, undefined, numerics);
    return performance.now() - began;
  });
  expect(Math.min(...again)).toBeLessThan(100);
});

describe('policies against what the dataflow tells', () => {
  const smallthinker = familyModel(join(import.meta.dirname, 'fixtures/goldens/smallthinker_21b'));
  const fails = (m: BoundModel, sheet: SheetSource): string => {
    try {
      readSheets(m, [sheet]);
      return '';
    } catch (e) {
      return e instanceof Error ? e.message : '';
    }
  };

  test('experts are asked for at most as far ahead as they are chosen', () => {
    expect(fails(routed, decode`** { prefetch: ${prefetch(0)} }`)).toBe('');
    expect(fails(routed, decode`** { prefetch: ${prefetch(1)} }`)).toMatch(
      /the experts of layers.0.moe cannot be asked for 1 layers ahead: they are chosen 0 layers/,
    );
    expect(fails(routed, decode`** { prefetch: 7 }`)).toContain('[sheet/lookahead]');
  });

  test('a draft has the vocabulary of the model', () => {
    const guess = (vocabulary: number) => decode`** { speculate: ${draft({ vocabulary, guesses: 4 })} }`; // prettier-ignore
    expect(fails(bound, guess(16))).toBe('');
    expect(fails(bound, guess(17))).toContain('a vocabulary of 17, the model one of 16');
  });

  test('kinds by use: what picks experts is a router, what ids pick rows of an embedding', () => {
    const of = (kind: string): readonly string[] => [...smallthinker.find(kind)].map((p) => p.path);
    expect(of(':embedding')).toEqual(['embed']);
    expect(of(':router').length).toBeGreaterThan(0);
    expect(of(':router').every((path) => /router|gate|moe/.test(path))).toBe(true);
  });

  test('a kind and an attribute that no part has are told, and nothing is selected', () => {
    const told = (sheet: SheetSource): readonly string[] =>
      readSheets(bound, [sheet]).warnings.map((w) => `${w.code} ${w.text}`);
    expect(told(precision`:dnse { weights: f16 }`)[0]).toMatch(/^sheet\/kind .*did you mean dense/);
    expect(told(precision`**[iner > 3] { weights: f16 }`)).toEqual([
      'select/attribute no part of the model has a parameter or size iner; did you mean inner?',
    ]);
  });
});
