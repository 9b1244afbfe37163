import { bind, block, model } from '../../compiler/index.ts';
import { gqa } from '../attention/gqa.ts';
import { softmaxThenTop } from '../moe/routers.ts';
import { rmsNorm } from '../norm/rms-norm.ts';
import { type ConfigReader, ranges } from './config.ts';
import { type Family, readConventions, readKvHeads, readSizes, readWindows } from './family.ts';
import { readRope } from './rope.ts';

/** SwiGLU experts under the names of Mixtral's checkpoints: w1 is the gate, w3 up, w2 down. */
const mixtralExperts = block`
  mixtralExperts(
    x: [t, d],
    share: [t, active],
    chosen: i32 [t, active];
    experts: int,
    inner: int
  ) -> [t, d] {
    weight gate: [experts, inner, d] from "experts.*.w1"
    weight up: [experts, inner, d] from "experts.*.w3"
    weight down: [experts, d, inner] from "experts.*.w2"
    y = grouped(silu(grouped(x, gate, chosen)) * grouped(x, up, chosen), down, chosen)
    return sum(y * (share as [t, active, 1]), axis = 1) as [t, d]
  }
`;

const mixtralDecoder = model`
  mixtral(
    ids: i32 [t];
    vocab: int,
    width: int,
    depth: int,
    inner: int,
    heads: int,
    kv_heads: int,
    head: int,
    frequencies: [real],
    rope_scale: real,
    windows: [int],
    experts: int,
    active: int,
    eps: real,
    tied: bool
  ) -> [t, vocab] {
    weight embed: [vocab, width] from "model.embed_tokens"
    x = embed[ids]

    repeat layers[l: depth] from "model.layers" {
      use input_layernorm = ${rmsNorm}(eps = eps)
      use self_attn = ${gqa}(
        heads = heads,
        kv_heads = kv_heads,
        head = head,
        frequencies = frequencies,
        rope_scale = rope_scale,
        mask = if windows[l] > 0 then |i, j| j <= i and i - j < windows[l] else |i, j| j <= i
      )
      use post_attention_layernorm = ${rmsNorm}(eps = eps)
      use gate = ${softmaxThenTop}(
        experts = experts,
        active = active,
        renormalise = true
      ) from "block_sparse_moe.gate"
      use block_sparse_moe = ${mixtralExperts}(experts = experts, inner = inner)

      x = x + self_attn(input_layernorm(x))
      h = post_attention_layernorm(x)
      share, chosen = gate(h)
      x = x + block_sparse_moe(h, share, chosen)
    }

    use norm = ${rmsNorm}(eps = eps) from "model.norm"
    if tied {
      return norm(x) @ embed.T
    } else {
      weight lm_head: [vocab, width]
      return norm(x) @ lm_head.T
    }
  }
`;

/** Mixtral (2024): Mistral's layers with experts in place of the feed-forward. */
export const mixtral: Family = {
  name: 'mixtral',
  modelTypes: ['mixtral'],
  build(config: ConfigReader) {
    config.choice('hidden_act', ['silu'], 'silu');
    const sizes = readSizes(config, 1e-5);
    const rope = readRope(config, sizes.head, 1e6);
    const experts = config.int('num_local_experts', ranges.experts);
    const params = {
      ...sizes,
      inner: config.int('intermediate_size', ranges.width),
      kv_heads: readKvHeads(config, sizes.heads),
      frequencies: rope.frequencies,
      rope_scale: rope.scale,
      windows: readWindows(config, sizes.depth, () => config.has('sliding_window')),
      experts,
      active: config.int('num_experts_per_tok', { min: 1, max: experts }),
    };
    return bind(mixtralDecoder, { params, ...readConventions(config, sizes.vocab) });
  },
};
