/** Shards are written while the next one is packed: nothing goes on behind an error. */
import { expect, test } from 'vitest';
import { compile } from '../compiler/compile.ts';
import type { TensorEntry } from '../compiler/8-bundle/safetensors.ts';
import { shardBytes } from '../compiler/8-bundle/weights.ts';
import type { Files } from '../compiler/8-bundle/files.ts';
import { modelOf } from '../stdlib/families/index.ts';

const [vocab, width, inner, heads, head] = [20_000, 1024, 64, 2, 32];
const bound = modelOf({
  model_type: 'llama',
  vocab_size: vocab,
  hidden_size: width,
  num_hidden_layers: 1,
  num_attention_heads: heads,
  head_dim: head,
  intermediate_size: inner,
});

/** Three shards of zeros: two large matrices. */
const layer = 'model.layers.0';
const shapes: Readonly<Record<string, readonly number[]>> = {
  'model.embed_tokens.weight': [vocab, width],
  'model.norm.weight': [width],
  'lm_head.weight': [vocab, width],
  [`${layer}.input_layernorm.weight`]: [width],
  [`${layer}.post_attention_layernorm.weight`]: [width],
  [`${layer}.self_attn.q_proj.weight`]: [heads * head, width],
  [`${layer}.self_attn.k_proj.weight`]: [heads * head, width],
  [`${layer}.self_attn.v_proj.weight`]: [heads * head, width],
  [`${layer}.self_attn.o_proj.weight`]: [width, heads * head],
  [`${layer}.mlp.gate_proj.weight`]: [inner, width],
  [`${layer}.mlp.up_proj.weight`]: [inner, width],
  [`${layer}.mlp.down_proj.weight`]: [width, inner],
};
const tensors = new Map(
  Object.entries(shapes).map(([name, shape]): [string, TensorEntry] => {
    const bytes = 4 * shape.reduce((a, b) => a * b, 1);
    return [name, { file: 'zeros', dtype: 'F32', shape, offset: 0, bytes }];
  }),
);

/** Files in memory that only know what happened, slow where shards are written. */
function slowFiles(onShard: () => Promise<void>) {
  const happened: string[] = [];
  const files: Files = {
    size: () => Promise.resolve(undefined),
    read: (_, __, length) => Promise.resolve(new Uint8Array(length)),
    async write(path, bytes) {
      if (!path.includes('/weights/')) return;
      happened.push(`begin ${bytes.byteLength === shardBytes ? 'full' : 'last'}`);
      await new Promise((done) => setTimeout(done, 20));
      await onShard();
      happened.push('end');
    },
    replace: () => Promise.resolve(void happened.push('replace')),
    remove: () => Promise.resolve(void happened.push('remove')),
  };
  return { files, happened };
}

const run = (files: Files, signal?: AbortSignal, onProgress?: (done: number) => void) =>
  compile(bound, { folder: 'x', tensors }, { compiler: 'test' }, files, 'out', {
    target: 'wasm',
    ...(signal ? { signal } : {}),
    ...(onProgress ? { onProgress } : {}),
  });

test('shards are written one after the other, then the bundle is moved into place', async () => {
  const { files, happened } = slowFiles(() => Promise.resolve());
  await run(files);
  expect(happened).toEqual([
    'begin full',
    'end',
    'begin full',
    'end',
    'begin last',
    'end',
    'replace',
  ]);
});

test('a disk that is full: the error comes out, the folder goes, nothing is written after', async () => {
  const { files, happened } = slowFiles(() => Promise.reject(new Error('no space')));
  await expect(run(files)).rejects.toThrow('no space');
  expect(happened).toEqual(['begin full', 'remove']);
  await new Promise((done) => setTimeout(done, 50));
  expect(happened).toEqual(['begin full', 'remove']);
});

test('an interruption while a shard is written: it is removed after that', async () => {
  const controller = new AbortController();
  const { files, happened } = slowFiles(() => Promise.resolve());
  const stop = (done: number): void => {
    if (done > shardBytes) controller.abort();
  };
  await expect(run(files, controller.signal, stop)).rejects.toThrow();
  expect(happened).toEqual(['begin full', 'end', 'remove']);
});
