/** Small Llama checkpoints of any shape with random weights, for differential tests. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { BoundModel } from '../../compiler/index.ts';
import { modelOf } from '../../stdlib/index.ts';
import { temporaryFolder } from './models.ts';

export interface RandomShape {
  readonly vocab: number;
  readonly width: number;
  readonly inner: number;
  readonly depth: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly head: number;
  readonly dtype: 'F32' | 'BF16' | 'F16';
  readonly context: number;
}

/** Numbers in [-1, 1), the same for the same seed. */
export function makeRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 31 - 1;
  };
}

const bytesOf = { F32: 4, BF16: 2, F16: 2 } as const;

/** A half of the nearest value at or below in size; the numbers here are small and normal. */
function halfBits(value: number): number {
  if (value === 0) return 0;
  const exponent = Math.max(-14, Math.floor(Math.log2(Math.abs(value))));
  const mantissa = Math.floor((Math.abs(value) / 2 ** exponent) * 1024);
  const bits = mantissa < 1024 ? mantissa : ((exponent + 15) << 10) | (mantissa - 1024);
  return (value < 0 ? 0x8000 : 0) | bits;
}

function stored(values: Float32Array, dtype: RandomShape['dtype']): Uint8Array {
  if (dtype === 'F32') return new Uint8Array(values.buffer);
  const bits = new Uint32Array(values.buffer);
  const out = Uint16Array.from(values, (v, i) =>
    dtype === 'BF16' ? (bits[i] ?? 0) >>> 16 : halfBits(v),
  );
  return new Uint8Array(out.buffer);
}

/** The folder of the checkpoint, and the model that its config describes. */
export function randomCheckpoint(shape: RandomShape): {
  readonly folder: string;
  readonly bound: BoundModel;
} {
  const { vocab, width, inner, depth, heads, kvHeads, head } = shape;
  const layer = (l: number): [string, number[]][] =>
    (
      [
        ['input_layernorm', [width]],
        ['self_attn.q_proj', [heads * head, width]],
        ['self_attn.k_proj', [kvHeads * head, width]],
        ['self_attn.v_proj', [kvHeads * head, width]],
        ['self_attn.o_proj', [width, heads * head]],
        ['post_attention_layernorm', [width]],
        ['mlp.gate_proj', [inner, width]],
        ['mlp.up_proj', [inner, width]],
        ['mlp.down_proj', [width, inner]],
      ] as [string, number[]][]
    ).map(([n, s]) => [`model.layers.${l}.${n}.weight`, s]);
  const tensors: [string, number[]][] = [
    ['model.embed_tokens.weight', [vocab, width]],
    ...Array.from({ length: depth }, (_, l) => layer(l)).flat(),
    ['model.norm.weight', [width]],
  ];
  const random = makeRandom(head * 1000 + inner);
  const header: Record<string, unknown> = {};
  const parts: Uint8Array[] = [];
  let end = 0;
  for (const [name, dims] of tensors) {
    const count = dims.reduce((a, b) => a * b, 1);
    const [, columns] = dims;
    const values = Float32Array.from({ length: count }, () =>
      columns === undefined ? 1 + 0.1 * random() : random() * Math.sqrt(3 / columns),
    );
    const bytes = stored(values, shape.dtype);
    const next = end + count * bytesOf[shape.dtype];
    header[name] = { dtype: shape.dtype, shape: dims, data_offsets: [end, next] };
    parts.push(bytes);
    end = next;
  }
  const json = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  const folder = temporaryFolder();
  writeFileSync(join(folder, 'model.safetensors'), Buffer.concat([length, json, ...parts]));
  const bound = modelOf({
    model_type: 'llama',
    vocab_size: vocab,
    hidden_size: width,
    intermediate_size: inner,
    num_hidden_layers: depth,
    num_attention_heads: heads,
    num_key_value_heads: kvHeads,
    head_dim: head,
    rms_norm_eps: 1e-5,
    tie_word_embeddings: true,
    max_position_embeddings: shape.context,
  });
  return { folder, bound };
}
