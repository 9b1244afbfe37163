/**
 * Hugging Face folders of Llama shape, made up on the spot: with random bf16 weights to measure
 * decoding, or as a header alone, whose data nobody reads, to measure compiling.
 */
import { existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';

export interface Shape {
  readonly name: string;
  readonly vocab: number;
  readonly width: number;
  readonly inner: number;
  readonly depth: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly head: number;
}

/** 150.7 million parameters, all of them read for every token: the head is the embedding. */
export const llama150m: Shape = {
  name: 'llama-150m',
  vocab: 32000,
  width: 1024,
  inner: 2816,
  depth: 10,
  heads: 16,
  kvHeads: 8,
  head: 64,
};

/** The sizes of Llama-3.2-1B (1.24 billion parameters at 16 layers) at any depth. */
export const llama1b = (depth: number): Shape => ({
  name: `llama-1b-${depth}`,
  vocab: 128256,
  width: 2048,
  inner: 8192,
  depth,
  heads: 32,
  kvHeads: 8,
  head: 64,
});

export const configOf = (shape: Shape): Readonly<Record<string, unknown>> => ({
  model_type: 'llama',
  vocab_size: shape.vocab,
  hidden_size: shape.width,
  intermediate_size: shape.inner,
  num_hidden_layers: shape.depth,
  num_attention_heads: shape.heads,
  num_key_value_heads: shape.kvHeads,
  head_dim: shape.head,
  rms_norm_eps: 1e-5,
  rope_theta: 500000,
  tie_word_embeddings: true,
  max_position_embeddings: 4096,
  bos_token_id: 0,
  eos_token_id: 1,
});

interface Tensor {
  readonly name: string;
  readonly shape: readonly number[];
}

const elements = (tensor: Tensor): number => tensor.shape.reduce((a, b) => a * b, 1);

export function tensorsOf(shape: Shape): readonly Tensor[] {
  const { width, inner, heads, kvHeads, head } = shape;
  const layer = (l: number): readonly Tensor[] =>
    [
      { name: 'input_layernorm', shape: [width] },
      { name: 'self_attn.q_proj', shape: [heads * head, width] },
      { name: 'self_attn.k_proj', shape: [kvHeads * head, width] },
      { name: 'self_attn.v_proj', shape: [kvHeads * head, width] },
      { name: 'self_attn.o_proj', shape: [width, heads * head] },
      { name: 'post_attention_layernorm', shape: [width] },
      { name: 'mlp.gate_proj', shape: [inner, width] },
      { name: 'mlp.up_proj', shape: [inner, width] },
      { name: 'mlp.down_proj', shape: [width, inner] },
    ].map((t) => ({ ...t, name: `model.layers.${l}.${t.name}.weight` }));
  return [
    { name: 'model.embed_tokens.weight', shape: [shape.vocab, width] },
    ...Array.from({ length: shape.depth }, (_, l) => layer(l)).flat(),
    { name: 'model.norm.weight', shape: [width] },
  ];
}

/** The head of a safetensors file: 8 bytes of length, and the JSON padded to 8 bytes. */
export function headerOf(shape: Shape, dtype: 'BF16' | 'F16' | 'F32' = 'BF16'): Buffer {
  const entries: Record<string, unknown> = {};
  let at = 0;
  for (const tensor of tensorsOf(shape)) {
    const end = at + elements(tensor) * (dtype === 'F32' ? 4 : 2);
    entries[tensor.name] = { dtype, shape: tensor.shape, data_offsets: [at, end] };
    at = end;
  }
  const text = JSON.stringify(entries);
  const json = Buffer.from(text.padEnd(Math.ceil(text.length / 8) * 8));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  return Buffer.concat([length, json]);
}

export const parametersOf = (shape: Shape): number =>
  tensorsOf(shape).reduce((sum, tensor) => sum + elements(tensor), 0);

/** Writes the folder under `cache` unless it is there, one tensor in memory at a time; its path. */
export async function makeCheckpoint(shape: Shape, cache: string): Promise<string> {
  const folder = join(cache, shape.name);
  if (existsSync(join(folder, 'model.safetensors'))) return folder;
  const partial = `${folder}.partial`;
  rmSync(partial, { recursive: true, force: true });
  mkdirSync(partial, { recursive: true });
  writeFileSync(join(partial, 'config.json'), JSON.stringify(configOf(shape), null, 1));
  const file = await open(join(partial, 'model.safetensors'), 'w');
  try {
    await file.writeFile(headerOf(shape));
    let seed = 1;
    for (const tensor of tensorsOf(shape)) await file.writeFile(randomWeights(tensor, seed++));
  } finally {
    await file.close();
  }
  rmSync(folder, { recursive: true, force: true });
  renameSync(partial, folder);
  return folder;
}

/**
 * bf16 values that keep activations at unit scale: uniform with variance 1 / inner size for matrices,
 * around one for norms.
 */
function randomWeights(tensor: Tensor, seed: number): Uint8Array {
  const [, inner] = tensor.shape;
  const centre = inner === undefined ? 1 : 0;
  const reach = inner === undefined ? 0.1 : Math.sqrt(3 / inner);
  const out = new Uint16Array(elements(tensor));
  const value = new Float32Array(1);
  const bits = new Uint32Array(value.buffer);
  let state = Math.imul(seed, 0x9e3779b9) | 1;
  for (let i = 0; i < out.length; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    value[0] = centre + (state / 2 ** 31) * reach;
    out[i] = (bits[0] ?? 0) >>> 16;
  }
  return new Uint8Array(out.buffer);
}
