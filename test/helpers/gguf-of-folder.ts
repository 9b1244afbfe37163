/** A Hugging Face folder as the GGUF file that llama.cpp's converter makes of it. */
import { join } from 'node:path';
import { nodeFiles } from '../../compiler/cli/node-files.ts';
import { readCheckpoint } from '../../compiler/8-bundle/checkpoint.ts';
import { halfOf } from '../../compiler/base/half.ts';
import { toDoubles } from '../../compiler/8-bundle/pack.ts';
import { packMatrix, quantiseMatrix } from '../../compiler/scalar/quantise.ts';
import { ggmlTypes, ropeFrequencies } from '../../stdlib/index.ts';
import { type GgufFile, type GgufTensor, type Meta } from './gguf.ts';
import { readJson } from './golden.ts';

const modules: readonly (readonly [theirs: string, file: string])[] = [
  ['self_attn.q_proj', 'attn_q'],
  ['self_attn.k_proj', 'attn_k'],
  ['self_attn.v_proj', 'attn_v'],
  ['self_attn.o_proj', 'attn_output'],
  ['self_attn.q_norm', 'attn_q_norm'],
  ['self_attn.k_norm', 'attn_k_norm'],
  ['mlp.gate.', 'ffn_gate_inp.'],
  ['block_sparse_moe.gate.', 'ffn_gate_inp.'],
  ['mlp.gate_proj', 'ffn_gate'],
  ['mlp.up_proj', 'ffn_up'],
  ['mlp.down_proj', 'ffn_down'],
  ['input_layernorm', 'attn_norm'],
  ['post_attention_layernorm', 'ffn_norm'],
  ['model.embed_tokens', 'token_embd'],
  ['model.norm', 'output_norm'],
  ['lm_head', 'output'],
];

/** `expert` names the tensor of one expert; the file has all of a layer in one. */
const expert = /^model\.layers\.(\d+)\.(?:mlp|block_sparse_moe)\.experts\.(\d+)\.(\w+)\.weight$/;
const ofExperts: Readonly<Record<string, string>> = {
  gate_proj: 'ffn_gate_exps', up_proj: 'ffn_up_exps', down_proj: 'ffn_down_exps',
  w1: 'ffn_gate_exps', w3: 'ffn_up_exps', w2: 'ffn_down_exps',
}; // prettier-ignore
/** What the converter calls the families whose names differ. */
const architectureOf: Readonly<Record<string, string>> = {
  mistral: 'llama',
  mixtral: 'llama',
  qwen3_moe: 'qwen3moe',
};

function nameOf(theirs: string): string {
  const inside = theirs.replace(/^model\.layers\.(\d+)\./, 'blk.$1.');
  const found = modules.find(([m]) => inside.includes(m));
  if (!found) throw new Error(`no GGUF name for ${theirs}`);
  return inside.replace(found[0], found[1]);
}

/** reshape(heads, 2, d/2, k).swap(1, 2), the converter's permutation of llama's q and k. */
function permuted(x: Float64Array, rows: number, heads: number): Float64Array {
  const [k, half] = [x.length / rows, rows / heads / 2];
  const out = new Float64Array(x.length);
  let to = 0;
  for (let h = 0; h < heads; h++)
    for (let i = 0; i < half; i++)
      for (let side = 0; side < 2; side++) {
        const from = (h * 2 * half + side * half + i) * k;
        out.set(x.subarray(from, from + k), to);
        to += k;
      }
  return out;
}

function packed(type: number, x: Float64Array, shape: readonly number[]): Uint8Array {
  const block = ggmlTypes.get(type);
  if (!block) throw new Error(`no type ${type}`);
  if (block.dtype === 'F32' && !block.scheme) return new Uint8Array(Float32Array.from(x).buffer);
  if (block.dtype === 'F16') return new Uint8Array(Uint16Array.from(x, halfOf).buffer);
  if (!block.scheme) throw new Error(`${block.name} is not written`);
  const k = shape.at(-1) ?? 1;
  const size = { n: x.length / k, k };
  const bytes = (x.length / block.elements) * block.bytes;
  const stores = packMatrix(block.scheme, quantiseMatrix(block.scheme, x, size), { blocks: bytes }, size); // prettier-ignore
  return stores['blocks'] ?? new Uint8Array(0);
}

const typeFor = (type: number, shape: readonly number[]): number =>
  shape.length === 2 && (shape[1] ?? 0) % (ggmlTypes.get(type)?.elements ?? 1) === 0 ? type : 0;

/**
 * Matrices in the type (`enum ggml_type`) that `type` says for their name in the file, where their
 * rows allow it, all else in F32.
 */
export async function ggufOfFolder(
  folder: string,
  type: number | ((name: string) => number),
): Promise<GgufFile> {
  const typeOf = typeof type === 'number' ? (): number => type : type;
  const config = readJson(join(folder, 'config.json')) as Record<string, never>;
  const rope = (config['rope_parameters'] ?? {}) as Record<string, number | string>;
  const [modelType, heads, kv, head] = [config['model_type'], config['num_attention_heads'], config['num_key_value_heads'], config['head_dim']] as unknown as [string, number, number, number | undefined]; // prettier-ignore
  const arch = architectureOf[modelType] ?? modelType;
  const { tensors } = await readCheckpoint(nodeFiles, folder);
  const out: GgufTensor[] = [];
  const stacks = new Map<string, { shape: readonly number[]; parts: Float64Array[] }>();
  for (const [theirs, t] of tensors) {
    const stored = await nodeFiles.read(t.file, t.offset, t.bytes);
    const x = toDoubles(stored, t.dtype === 'BF16' ? 'bf16' : t.dtype === 'F16' ? 'f16' : 'f32');
    const [, layer, number = '', module = ''] = expert.exec(theirs) ?? [];
    if (layer !== undefined) {
      const stack = `blk.${layer}.${ofExperts[module]}.weight`;
      const { parts } = stacks.get(stack) ?? stacks.set(stack, { shape: t.shape, parts: [] }).get(stack) ?? { parts: [] }; // prettier-ignore
      parts[Number(number)] = x;
      continue;
    }
    const name = nameOf(theirs);
    const groups = /attn_q\./.test(name) ? heads : /attn_k\./.test(name) ? kv : 0;
    const own = arch === 'llama' && groups > 0 ? permuted(x, t.shape[0] ?? 0, groups) : x;
    const as = name.includes('ffn_gate_inp') ? 0 : typeFor(typeOf(name), t.shape);
    out.push({ name, type: as, shape: t.shape, bytes: packed(as, own, t.shape) });
  }
  for (const [name, { shape, parts }] of stacks) {
    const as = typeFor(typeOf(name), shape);
    const bytes = Buffer.concat(parts.map((x) => packed(as, x, shape)));
    out.push({ name, type: as, shape: [parts.length, ...shape], bytes });
  }
  const number = (field: string): number => Number(config[field]);
  const dims = head ?? number('hidden_size') / heads;
  if (rope['rope_type'] === 'llama3') {
    const [factor, low, high, original] = ['factor', 'low_freq_factor', 'high_freq_factor', 'original_max_position_embeddings'].map((f) => Number(rope[f])) as [number, number, number, number]; // prettier-ignore
    const theta = Number(rope['rope_theta']);
    const plain = ropeFrequencies(dims, theta, { type: 'default' }).frequencies;
    const scaled = ropeFrequencies(dims, theta, { type: 'llama3', factor, original, lowFrequencyFactor: low, highFrequencyFactor: high }).frequencies; // prettier-ignore
    const divisors = Float32Array.from(plain, (f, i) => f / (scaled[i] ?? 1));
    out.push({ name: 'rope_freqs.weight', type: 0, shape: [dims / 2], bytes: new Uint8Array(divisors.buffer) }); // prettier-ignore
  }
  const meta: Record<string, Meta> = {
    'general.architecture': { text: arch },
    [`${arch}.block_count`]: { u32: number('num_hidden_layers') },
    [`${arch}.context_length`]: { u32: number('max_position_embeddings') },
    [`${arch}.embedding_length`]: { u32: number('hidden_size') },
    [`${arch}.feed_forward_length`]: { u32: number('intermediate_size') },
    [`${arch}.attention.head_count`]: { u32: heads },
    [`${arch}.attention.head_count_kv`]: { u32: kv },
    [`${arch}.attention.key_length`]: { u32: dims },
    [`${arch}.attention.value_length`]: { u32: dims },
    [`${arch}.attention.layer_norm_rms_epsilon`]: { f32: number('rms_norm_eps') },
    [`${arch}.rope.freq_base`]: { f32: Number(rope['rope_theta'] ?? 1e4) },
    'tokenizer.ggml.bos_token_id': { u32: number('bos_token_id') },
    'tokenizer.ggml.eos_token_id': { u32: number('eos_token_id') },
  };
  if (config['sliding_window'] !== undefined && config['sliding_window'] !== null) {
    meta[`${arch}.attention.sliding_window`] = { u32: number('sliding_window') };
  }
  if (stacks.size > 0) {
    meta[`${arch}.expert_count`] = { u32: number('num_local_experts') };
    meta[`${arch}.expert_used_count`] = { u32: number('num_experts_per_tok') };
    if (config['moe_intermediate_size'] !== undefined) meta[`${arch}.expert_feed_forward_length`] = { u32: number('moe_intermediate_size') }; // prettier-ignore
  }
  return { metadata: meta, tensors: out };
}
