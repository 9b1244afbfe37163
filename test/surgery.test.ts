/** Surgery on models: parts found, blocks replaced, parameters set, adapters, ties, layers taken. */
import { describe, expect, test } from 'vitest';
import { DiagnosticsError } from '../compiler/base/failure.ts';
import { compileGraph, compileProgram } from '../compiler/compile.ts';
import { type BoundModel, block } from '../compiler/index.ts';
import { printGraph } from '../compiler/3-graph/print.ts';
import { openReference } from '../compiler/cli/reference-device.ts';
import type { NdArray } from '../compiler/ops/op.ts';
import { makeModel } from '../runtime/model.ts';
import { rmsNorm, swiglu } from '../stdlib/index.ts';
import bard from '../examples/bard/model.ts';
import { example, fixture, maxError } from './helpers/golden.ts';
import { familyModel, referenceOf } from './helpers/models.ts';
import { makeRandom } from './helpers/random-checkpoint.ts';

const weights = example('bard/weights');
const prompt = [5, 9, 2, 77, 300, 12];
const logitsOf = async (m: BoundModel) => (await referenceOf(m, weights)).logits(prompt);
const textOf = (m: BoundModel): string => printGraph(compileGraph(m, undefined).graph);
const llama = familyModel(fixture('goldens/llama'));

function mistakeIn(edit: () => unknown): DiagnosticsError {
  try {
    edit();
  } catch (e) {
    if (e instanceof DiagnosticsError) return e;
    throw e;
  }
  throw new Error('no mistake');
}

/** Weights that a hash of their name makes: the same wherever the same name is read. */
function numbersOf(name: string, shape: readonly number[]): NdArray {
  const random = makeRandom([...name].reduce((n, c) => Math.imul(n, 31) + c.charCodeAt(0), 7));
  const size = shape.reduce((a, b) => a * b, 1);
  return { shape, data: Float64Array.from({ length: size }, () => random() * 0.3) };
}

/** Logits of a model without a checkpoint, with `read` for its weights. */
function runWith(m: BoundModel, read = numbersOf) {
  const { graph } = compileGraph(m, undefined);
  const sizes = { threads: 1, context: 64, capacity: 64, sequences: 1 };
  const executor = openReference(graph, (name, _, type) => read(name, type.shape), sizes);
  return makeModel(executor, { name: '', eos: [] }, undefined).logits([3, 1, 4, 1, 5]);
}

describe('a model as a tree', () => {
  test('has layers, parts, parameters, shapes and names of the checkpoint', () => {
    expect(bard.layers.length).toBe(6);
    const attention = bard.layers[3]?.parts['self_attn'];
    expect(attention?.params).toMatchObject({ heads: 8, rotary: false });
    expect(attention?.inputs).toEqual([{ name: 'x', dtype: 'f32', shape: ['t', 192] }]);
    expect(attention?.weights['q_proj']).toMatchObject({
      path: 'layers.3.self_attn.q_proj',
      source: 'model.layers.3.self_attn.q_proj',
      shape: [96, 192],
    });
    expect(bard.tree.parts['norm']?.block).toBe('rmsNorm');
  });

  test.each([
    ['layers[3].self_attn', ['layers.3.self_attn']],
    ['layers[1..2]', ['layers.1', 'layers.2']],
    ['layers[::4]:layer', ['layers.0', 'layers.4']],
    ['layers[-1].shared.*', ['gate', 'up', 'down'].map((w) => `layers.5.shared.${w}`)],
    [':attention[rotary = false]', ['layers.0.self_attn', 'layers.3.self_attn']],
    ['layers[0]:router, layers[0].**:router', ['layers.0.router']],
    ['layers[2].**[rank = 3]', ['gate', 'up', 'down'].map((w) => `layers.2.experts.${w}`)],
    ['nothing', []],
  ])('%s selects', (selector, paths) => {
    expect(bard.find(selector).parts.map((p) => p.path)).toEqual(paths);
  });

  test('kinds are told by what an instance computes', () => {
    expect(bard.find(':experts').length).toBe(6);
    expect(bard.find(':attention').length).toBe(6);
    expect(llama.find('layers[0].**:linear').length).toBe(7);
  });

  test('is that of a copy with other parameters once a method made a model of it', () => {
    const copy = { ...bard.set({ eps: 1e-6 }), params: { ...bard.params, layout: [true] } };
    expect(copy.with().layers.length).toBe(1);
    expect(bard.layers.length).toBe(6);
  });

  test('is selected in by functions', () => {
    const wide = bard.find((p) => p.kind === 'weight' && p.shape[0] === 2048);
    expect([...wide].map((p) => p.path)).toEqual(['embed']);
  });
});

/** rmsNorm and swiglu in other words. */
const sameNorm = block`
  sameNorm(x: [.., n]; eps: real) -> [.., n] {
    weight gain: [n] from "weight"
    s = mean(x * x) + eps
    return gain * (x * rsqrt(s))
  }
`;

describe('replacing', () => {
  test('a block by an equal one keeps the logits, and its arguments', async () => {
    const edited = bard.replace('layers[1..4].input_layernorm', sameNorm).replace('norm', sameNorm);
    expect(edited.tree.parts['norm']).toMatchObject({ block: 'sameNorm', params: { eps: 1e-5 } });
    expect(edited.layers[0]?.parts['input_layernorm']?.block).toBe('rmsNorm');
    expect(maxError(await logitsOf(edited), await logitsOf(bard))).toBeLessThan(1e-5);
  });

  test('leaves the original as it was, and layers that stay equal folded', () => {
    const before = textOf(llama);
    const all = llama.replace(
      'layers.mlp',
      block`
      dense(x: [t, d]; inner: int) -> [t, d] {
        weight up: [inner, d], down: [d, inner]
        return silu(x @ up.T) @ down.T
      }
    `,
    );
    expect(textOf(llama)).toBe(before);
    expect(textOf(all).match(/loop/g)?.length).toBe(before.match(/loop/g)?.length);
    expect(all.find('layers.mlp.gate_proj').length).toBe(0);
  });

  test('undoes earlier edits inside', () => {
    const edited = bard.set('layers[0].self_attn.inter_norm', { eps: 0.5 });
    const again = edited.replace(
      'layers[0].self_attn',
      block`
      other(x: [t, d]; eps: real) -> [t, d] {
        use inter_norm = ${rmsNorm}(eps = eps)
        return inter_norm(x)
      }
    `,
    );
    expect(again.find('layers[0].self_attn.inter_norm').parts[0]).toMatchObject({
      params: { eps: 1e-5 },
    });
  });

  test('by a block that does not fit is told with the call and the block', () => {
    const narrow = block`narrow(x: [t, d]) -> [t, 7] { weight w: [7, d] return x @ w.T }`;
    const { diagnostics } = mistakeIn(() => bard.replace('layers[2].self_attn', narrow));
    const [first] = diagnostics;
    expect(first?.code).toBe('shape/differ');
    expect(first?.labels[0]?.span.source).toMatchObject({
      text: "replace('layers[2].self_attn', narrow)",
      file: import.meta.filename,
    });
    expect(first?.labels.at(-1)?.text).toBe('by this block');
  });

  test('tells a parameter that is missing', () => {
    const { code, message } = mistakeIn(() => bard.replace('layers.shared', swiglu, { iner: 3 }));
    expect(code).toBe('name/unknown-argument');
    expect(message).toContain('did you mean inner?');
    const needy = block`needy(x: [t, d]; size: int) -> [t, d] { return x * size }`;
    expect(mistakeIn(() => bard.find('layers.shared').replace(needy)).code).toBe(
      'call/missing-argument',
    );
  });
});

describe('setting', () => {
  test('parameters of instances changes those alone', async () => {
    const edited = bard.set('layers[1].self_attn', { window: 2 });
    expect(edited.layers[1]?.parts['self_attn']?.params['window']).toBe(2);
    expect(edited.layers[2]?.parts['self_attn']?.params['window']).toBe(64);
    const [a, b] = [await logitsOf(edited), await logitsOf(bard)];
    expect(maxError(a.slice(0, 2), b.slice(0, 2))).toBeLessThan(1e-5);
    expect(maxError(a, b)).toBeGreaterThan(1e-2);
  });

  test('a parameter to what it was changes nothing', () => {
    expect(textOf(bard.find(':attention').set({ window: 64 }))).toBe(textOf(bard));
  });

  test('parameters of the model checks it again', () => {
    expect(bard.set({ layout: [true, false] }).layers.length).toBe(2);
    expect(mistakeIn(() => bard.set({ layouts: [] })).code).toBe('name/unknown-argument');
    expect(mistakeIn(() => bard.set({ layout: 3 })).code).toBe('type/kind');
  });
});

describe('adapters', () => {
  const adapted = llama.lora(':attention', { rank: 2, alpha: 6 });
  const zeroB = (name: string, shape: readonly number[]): NdArray =>
    name.includes('lora_B')
      ? { shape, data: new Float64Array(shape[0]! * shape[1]!) }
      : numbersOf(name, shape);

  test('stand beside every matrix selected, under the names of PEFT', () => {
    const added = adapted.find('layers[1].self_attn.q_proj.*').parts;
    expect(added).toMatchObject([
      { source: 'base_model.model.model.layers.1.self_attn.q_proj.lora_A', shape: [2, 64] },
      { source: 'base_model.model.model.layers.1.self_attn.q_proj.lora_B', shape: [64, 2] },
    ]);
    expect(adapted.find('layers[0].**').length - llama.find('layers[0].**').length).toBe(8);
  });

  test('with B = 0 change nothing', async () => {
    expect(maxError(await runWith(adapted, zeroB), await runWith(llama, zeroB))).toBeLessThan(1e-6);
  });

  test.each([
    ['attention', llama, ':attention'],
    [
      'experts, one tensor each',
      familyModel(fixture('goldens/smallthinker_4b')),
      'layers[1..].**:experts',
    ],
    ['experts, stacked', familyModel(fixture('goldens/step3')), ':experts'],
  ])('are the model with their product added to its weights: %s', async (_, m, selector) => {
    const lora = { rank: 3, alpha: 6 };
    const merged = (name: string, shape: readonly number[]): NdArray => {
      const w = numbersOf(name, shape);
      const has = m.lora(selector, lora).find((p) => p.path === `${name}.lora_A`).length > 0;
      if (!has) return w;
      const [k = 1, n = 1] = [...shape].reverse();
      const lead = shape.slice(0, -2);
      const a = numbersOf(`${name}.lora_A`, [...lead, 3, k]).data;
      const b = numbersOf(`${name}.lora_B`, [...lead, n, 3]).data;
      const data = w.data.map((v, i) => {
        const [e, row, column] = [Math.floor(i / (n * k)), Math.floor(i / k) % n, i % k];
        const r = [0, 1, 2].map((x) => b[(e * n + row) * 3 + x]! * a[(e * 3 + x) * k + column]!);
        return v + 2 * (r[0]! + r[1]! + r[2]!);
      });
      return { shape, data };
    };
    const known = new Map<string, NdArray>();
    const cached = (name: string, shape: readonly number[]): NdArray => {
      const had = known.get(name) ?? merged(name, shape);
      known.set(name, had);
      return had;
    };
    const [a, b] = [await runWith(m.lora(selector, lora)), await runWith(m, cached)];
    const scale = Math.max(...b.flatMap((row) => [...row].map(Math.abs)));
    expect(maxError(a, b)).toBeLessThan(1e-5 * scale);
    expect(maxError(a, await runWith(m))).toBeGreaterThan(1e-3 * scale);
  });

  test('compile, several of a weight too', () => {
    const two = adapted.lora('layers[0].**:attention', { rank: 4, alpha: 4, name: 'style' });
    expect(two.find('layers[0].self_attn.q_proj.**').length).toBe(5);
    expect(compileProgram(two, undefined).program.kernels.length).toBeGreaterThan(0);
  });

  test.each([
    ['layers.input_layernorm', 'edit/part'],
    ['norm.gain', 'edit/lora-use'],
    ['layers.self_atn', 'edit/nothing'],
  ])('beside %s are a mistake', (selector, code) => {
    expect(mistakeIn(() => llama.lora(selector, { rank: 2, alpha: 2 })).code).toBe(code);
  });

  test('beside a table that is looked up in are a mistake, told with the use', () => {
    const { diagnostics } = mistakeIn(() => bard.lora('embed', { rank: 2, alpha: 2 }));
    expect(diagnostics[0]?.code).toBe('edit/lora-use');
    expect(diagnostics[0]?.labels.map((l) => l.text)).toEqual(['', 'it is used here']);
  });
});
