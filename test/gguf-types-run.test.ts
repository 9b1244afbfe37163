/** A model whose matrices are blocks of all types: wasm gives what the reference interpreter gives. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { present } from '../compiler/base/invariant.ts';
import { openModel } from '../compiler/cli/open.ts';
import { makeConsole } from '../compiler/cli/console.ts';
import { packMatrix, quantiseMatrix } from '../compiler/scalar/quantise.ts';
import { ggmlTypes } from '../stdlib/index.ts';
import { type GgufTensor, type Meta, writeGguf } from './helpers/gguf.ts';
import { deviationOf, maxError } from './helpers/golden.ts';
import { temporaryFolder } from './helpers/models.ts';

const [vocab, width, inner, heads, kvHeads, head] = [96, 256, 256, 4, 2, 64];
const depth = 2;
const ofLayers: Readonly<Record<string, readonly [number, number]>> = {
  attn_q: [heads * head, width],
  attn_k: [kvHeads * head, width],
  attn_v: [kvHeads * head, width],
  attn_output: [width, heads * head],
  ffn_gate: [inner, width],
  ffn_up: [inner, width],
  ffn_down: [width, inner],
};
const sizes: Readonly<Record<string, number>> = {
  block_count: depth,
  context_length: 64,
  embedding_length: width,
  feed_forward_length: inner,
  'attention.head_count': heads,
  'attention.head_count_kv': kvHeads,
};
const metadata: Readonly<Record<string, Meta>> = {
  'general.architecture': { text: 'llama' },
  ...Object.fromEntries(Object.entries(sizes).map(([k, n]) => [`llama.${k}`, { u32: n }])),
  'llama.attention.layer_norm_rms_epsilon': { f32: 1e-5 },
};

const layers = Array.from({ length: depth }, (_, l) => `blk.${l}.`);
const matrices = [
  ['token_embd', [vocab, width]] as const,
  ...layers.flatMap((l) =>
    Object.entries(ofLayers).map(([name, size]) => [l + name, size] as const),
  ),
];
const blocks = [...ggmlTypes].flatMap(([type, { scheme, ...block }]) => (scheme ? [{ ...block, type, scheme }] : [])); // prettier-ignore

/** Random weights under which activations keep their size. */
function model(): string {
  let x = 5;
  const random = (): number => {
    x = (Math.imul(1664525, x) + 1013904223) >>> 0;
    return x / 2 ** 31 - 1;
  };
  const tensors = matrices.map(([name, [n, k]], i): GgufTensor => {
    const { type, scheme, elements, bytes } = present(blocks[i % blocks.length]);
    const numbers = Float64Array.from({ length: n * k }, () => random() * Math.sqrt(3 / k));
    const stores = packMatrix(scheme, quantiseMatrix(scheme, numbers, { n, k }), { blocks: ((n * k) / elements) * bytes }, { n, k }); // prettier-ignore
    return { name: `${name}.weight`, type, shape: [n, k], bytes: present(stores['blocks']) };
  });
  // Not all alike: activations that are a block's codes would lie halfway between their own codes.
  for (const name of [...layers.flatMap((l) => [`${l}attn_norm`, `${l}ffn_norm`]), 'output_norm']) {
    const gain = Float32Array.from({ length: width }, () => 1 + 0.2 * random());
    const bytes = new Uint8Array(gain.buffer);
    tensors.push({ name: `${name}.weight`, type: 0, shape: [width], bytes });
  }
  const path = join(temporaryFolder(), 'model.gguf');
  writeFileSync(path, writeGguf({ metadata, tensors }));
  return path;
}

test('a matrix in each type', async () => {
  expect(matrices.length).toBeGreaterThanOrEqual(blocks.length);
  const path = model();
  const logitsOn = async (target: string): Promise<readonly Float32Array[]> => {
    const opened = await openModel(path, { threads: 1, target }, makeConsole({ quiet: true }));
    const ids = Array.from({ length: 11 }, (_, i) => (i * 37) % vocab);
    const rows = (await opened.logits(ids)).map((row) => Float32Array.from(row));
    opened.close();
    return rows;
  };
  const [found, meant] = [await logitsOn('wasm'), await logitsOn('reference')];
  expect(deviationOf(meant)).toBeGreaterThan(0.1);
  const errors = meant.map((row, i) => maxError([row], [found[i] ?? row]) / deviationOf(meant));
  // An activation halfway between two codes may take either: a token in ten has one.
  const sorted = [...errors].sort((a, b) => a - b);
  expect(sorted[errors.length - 3]).toBeLessThanOrEqual(1e-5);
  expect(Math.max(...errors)).toBeLessThanOrEqual(0.1);
});
