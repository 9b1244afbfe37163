/** Surgery on layers and wholes: layers taken, weights tied, blocks as models of their own. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { DiagnosticsError, TargetError } from '../compiler/base/failure.ts';
import { compileGraph, compileProgram } from '../compiler/compile.ts';
import { type BoundModel, bind, block, model } from '../compiler/index.ts';
import { interpret, makeStateStore } from '../compiler/3-graph/interpret.ts';
import { printGraph } from '../compiler/3-graph/print.ts';
import { readGraph } from '../compiler/3-graph/read.ts';
import type { NdArray } from '../compiler/ops/op.ts';
import bard from '../examples/bard/model.ts';
import { example, fixture, maxError } from './helpers/golden.ts';
import {
  bundleOf,
  familyModel,
  loadBundle,
  referenceOf,
  temporaryFolder,
} from './helpers/models.ts';
import { makeRandom } from './helpers/random-checkpoint.ts';

const weights = example('bard/weights');
const prompt = [5, 9, 2, 77, 300, 12];
const logitsOf = async (m: BoundModel) => (await referenceOf(m, weights)).logits(prompt);
const textOf = (m: BoundModel): string => printGraph(compileGraph(m, undefined).graph);
const llama = familyModel(fixture('goldens/llama'));
const codeOf = (edit: () => unknown): string => {
  try {
    edit();
  } catch (e) {
    if (e instanceof DiagnosticsError) return e.code;
    throw e;
  }
  return '';
};

describe('taking layers', () => {
  test('gives the model that has only these, as one written so', async () => {
    const draft = bard.take('layers[..2]');
    expect(draft.layers.map((l) => l.path)).toEqual(['layers.0', 'layers.1', 'layers.2']);
    const written = bard.set({ layout: [false, true, true] });
    expect(textOf(draft)).toBe(textOf(written));
    expect(maxError(await logitsOf(draft), await logitsOf(written))).toBe(0);
  });

  test('numbers them anew, and their weights keep their names in the checkpoint', async () => {
    const draft = bard.take('layers[3..]').take('layers[::2]');
    expect(draft.find('layers.router.w').parts).toMatchObject(
      [3, 5].map((l) => ({ source: `model.layers.${l}.block_sparse_moe.primary_router.weight` })),
    );
    expect(draft.layers[0]?.parts['self_attn']?.params['rotary']).toBe(false);
    const folder = await bundleOf(draft, weights, { tokens: 16 });
    const wasm = await loadBundle(folder);
    const [a, b] = [await wasm.logits(prompt), await logitsOf(draft)];
    wasm.close();
    expect(maxError(a, b)).toBeLessThan(1e-3);
  });

  test('of even steps stays one loop', () => {
    const deep = llama.take('layers[::1]');
    expect(textOf(deep)).toBe(textOf(llama));
    const upper = bard.take('layers[1..2]');
    expect(textOf(upper)).toContain('loop 2');
    expect(textOf(upper)).toContain('"layers.{0+1i}.shared.gate" from "model.layers.{1+1i}');
    expect(textOf(bard.take('layers[1::3]'))).toContain('layers.{1+3i}.');
  });

  test('goes with edits before and behind it', () => {
    const edited = bard
      .set('layers[4].self_attn', { window: 9 })
      .take('layers[3..]')
      .set('layers[2].self_attn', { window: 7 });
    const windows = edited.layers.map((l) => l.parts['self_attn']?.params['window']);
    expect(windows).toEqual([64, 9, 7]);
  });

  test('that are no longer there is a mistake', () => {
    expect(codeOf(() => bard.take('layers[4..]').set({ layout: [true] }))).toBe('value/index');
    expect(codeOf(() => bard.take('norm'))).toBe('edit/part');
  });
});

describe('tying', () => {
  test('makes two weights one, read from one place', async () => {
    const two = bind(model`
      two(ids: i32 [t]) -> [t, 2048] {
        weight embed: [2048, 192] from "model.embed_tokens", head: [2048, 192] from "elsewhere"
        return embed[ids] @ head.T
      }
    `);
    const tied = two.tie('head', 'embed');
    expect(tied.find((p) => p.kind === 'weight').parts.map((p) => p.path)).toEqual(['embed']);
    const { program } = compileProgram(tied, undefined);
    expect(program.weights.length).toBe(1);
    expect(compileProgram(two, undefined).program.weights.length).toBe(2);
    expect((await logitsOf(tied)).length).toBe(prompt.length);
  });

  test('layers to one another keeps them folded, with one copy of the weights', async () => {
    const tied = llama.tie('layers[1..].mlp', 'layers[0].mlp');
    const text = textOf(tied);
    expect(text).toContain('weight "layers.0.mlp.gate_proj" from "model.layers.0.mlp.gate_proj"');
    expect(text.match(/mlp.gate_proj/g)?.length).toBe(2);
    expect(text.match(/loop/g)?.length).toBe(textOf(llama).match(/loop/g)?.length);
    expect(compileProgram(tied, undefined).program.kernels.length).toBeGreaterThan(0);
  });

  test('runs alike on wasm and the interpreter', async () => {
    const tied = bard.tie('layers[1..].shared', 'layers[2].shared');
    const wasm = await loadBundle(await bundleOf(tied, weights, { tokens: 16 }));
    const [a, b] = [await wasm.logits(prompt), await logitsOf(tied)];
    wasm.close();
    expect(maxError(a, b)).toBeLessThan(1e-3);
    expect(maxError(b, await logitsOf(bard))).toBeGreaterThan(1e-2);
  });
});

/** A folder as PEFT writes it, with random f32 tensors. */
function adapterFolder(tensors: Readonly<Record<string, readonly number[]>>): string {
  const header: Record<string, unknown> = {};
  const random = makeRandom(3);
  const data: Buffer[] = [];
  let at = 0;
  for (const [name, shape] of Object.entries(tensors)) {
    const size = shape.reduce((a, b) => a * b, 1);
    data.push(Buffer.from(Float32Array.from({ length: size }, () => 0.2 * random()).buffer));
    header[name] = { dtype: 'F32', shape, data_offsets: [at, (at += 4 * size)] };
  }
  const text = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  const folder = temporaryFolder();
  const bytes = Buffer.concat([length, text, ...data]);
  writeFileSync(join(folder, 'adapter_model.safetensors'), bytes);
  return folder;
}

test('adapters of a folder of their own run alike on wasm and the interpreter', async () => {
  const name = 'base_model.model.model.layers.1.self_attn.v_proj';
  const adapter = adapterFolder({
    [`${name}.lora_A.weight`]: [4, 192],
    [`${name}.lora_B.weight`]: [32, 4],
  });
  const tuned = bard.lora('layers[1].self_attn.v_proj', { rank: 4, alpha: 8 });
  const wasm = await loadBundle(await bundleOf(tuned, weights, { tokens: 16 }, [adapter]));
  const reference = await referenceOf(tuned, weights, 256, [adapter]);
  const [a, b] = [await wasm.logits(prompt), await reference.logits(prompt)];
  wasm.close();
  expect(maxError(a, b)).toBeLessThan(1e-3);
  expect(maxError(b, await logitsOf(bard))).toBeGreaterThan(1e-2);
});

describe('a block as a model of its own', () => {
  const numbers = (shape: readonly number[], seed: number): NdArray => {
    const random = makeRandom(seed);
    const size = shape.reduce((a, b) => a * b, 1);
    return { shape, data: Float64Array.from({ length: size }, () => random()) };
  };
  const step = {
    ids: Int32Array.of(0, 0, 0),
    sequence: new Int32Array(3),
    position: Int32Array.of(0, 1, 2),
    slot: Int32Array.of(0, 1, 2),
    length: Int32Array.of(1, 2, 3),
    rows: Int32Array.of(2),
    table: Int32Array.of(0),
    blocksPerSequence: 1,
    block: 16,
  };

  test('maps its inputs to its results, weights under their names in the checkpoint', () => {
    const tower = bard.sub('layers[1].shared');
    expect(
      tower
        .find((p) => p.kind === 'weight')
        .parts.map((p) => [p.path, 'source' in p ? p.source : '']),
    ).toEqual(
      ['gate', 'up', 'down'].map((w) => [w, `model.layers.1.block_sparse_moe.shared_expert.${w}`]),
    );
    const { graph } = compileGraph(tower, undefined);
    const x = numbers([3, 192], 1);
    const read = (name: string, _: string, { shape }: { shape: readonly number[] }): NdArray =>
      numbers(shape, name.length);
    const [y] = interpret(graph, read, step, makeStateStore(), new Map([['x', x]]));
    const dot = (w: NdArray, row: number, v: ArrayLike<number>): number =>
      Array.from(v).reduce((s, a, i) => s + a * (w.data[row * v.length + i] ?? NaN), 0);
    const last = x.data.subarray(2 * 192);
    const [gate, up] = [numbers([128, 192], 4), numbers([128, 192], 2)];
    const inner = Array.from(
      { length: 128 },
      (_, r) => Math.max(0, dot(gate, r, last)) * dot(up, r, last),
    );
    expect(y?.shape).toEqual([3, 192]);
    expect(y?.data[2 * 192 + 5]).toBeCloseTo(dot(numbers([192, 128], 4), 5, inner), 6);
  });

  test('may keep state, take edits, and prints and reads back', () => {
    const attention = bard
      .sub('layers[1].self_attn')
      .set({ window: 2 })
      .set('inter_norm', { eps: 1 });
    expect(attention.tree).toMatchObject({ block: 'attention', params: { window: 2 } });
    const { graph } = compileGraph(attention, undefined);
    const read = readGraph(printGraph(graph));
    expect(read.nodes).toEqual(graph.nodes);
    expect(printGraph(graph)).toContain('input "x"');
  });

  test('is no bundle, and is told so', () => {
    expect(() => compileProgram(bard.sub('layers[1].shared'), undefined)).toThrow(TargetError);
    expect(codeOf(() => bard.sub(':attention'))).toBe('edit/several');
    expect(codeOf(() => bard.sub('layers[0]'))).toBe('edit/part');
  });
});

const twice = block`
  twice(x: [t, d]; inner: int) -> [t, d] {
    weight gate: [inner, d], down: [d, inner]
    return relu(x @ gate.T) @ down.T
  }
`;

/** Edits of one layer, by number. */
const edits: readonly ((m: BoundModel, layer: string) => BoundModel)[] = [
  (m, l) => m.set(`${l}.self_attn`, { window: 5 }),
  (m, l) => m.replace(`${l}.shared`, twice),
  (m, l) => m.lora(`${l}.experts`, { rank: 2, alpha: 1 }),
  (m, l) => m.tie(`${l}.shared.gate`, `${l}.shared.up`),
];

test('edits of a layer leave all others as they were, in any order', () => {
  const choice = fc.tuple(fc.nat(5), fc.nat(edits.length - 1));
  fc.assert(
    fc.property(fc.uniqueArray(choice, { minLength: 1, maxLength: 4, selector: String }), (all) => {
      let edited = bard;
      for (const [layer, edit] of all) {
        // A replaced block has no such weight to tie.
        const gone = edit === 3 && all.some(([l, e]) => l === layer && e === 1);
        if (!gone) edited = edits[edit]?.(edited, `layers[${layer}]`) ?? edited;
      }
      const touched = new Set(all.map(([layer]) => layer));
      edited.layers.forEach((layer, l) => {
        if (!touched.has(l)) expect(layer).toEqual(bard.layers[l]);
      });
      compileGraph(edited, undefined);
    }),
    { numRuns: 25 },
  );
});
