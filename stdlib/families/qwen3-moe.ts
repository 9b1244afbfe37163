import { bind, model } from '../../compiler/index.ts';
import { gqa } from '../attention/gqa.ts';
import { softmaxThenTop } from '../moe/routers.ts';
import { swiglu, swigluExpertList } from '../moe/swiglu.ts';
import { rmsNorm } from '../norm/rms-norm.ts';
import { type ConfigReader, ranges } from './config.ts';
import {
  type Family,
  readConventions,
  readKvHeads,
  readSizes,
  readUpperWindows,
} from './family.ts';
import { readRope } from './rope.ts';

const qwen3MoeDecoder = model`
  qwen3moe(
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
    bias: bool,
    sparse: [bool],
    experts: int,
    active: int,
    expert_inner: int,
    renormalise: bool,
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
        mask = if windows[l] > 0 then |i, j| j <= i and i - j < windows[l] else |i, j| j <= i,
        bias = bias,
        out_bias = bias,
        head_norm = true,
        eps = eps
      )
      use post_attention_layernorm = ${rmsNorm}(eps = eps)

      x = x + self_attn(input_layernorm(x))
      h = post_attention_layernorm(x)
      if sparse[l] {
        use gate = ${softmaxThenTop}(
          experts = experts,
          active = active,
          renormalise = renormalise
        ) from "mlp.gate"
        use moe = ${swigluExpertList}(experts = experts, inner = expert_inner) from "mlp"
        share, chosen = gate(h)
        x = x + moe(h, share, chosen)
      } else {
        use mlp = ${swiglu}(inner = inner)
        x = x + mlp(h)
      }
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

/** Qwen 3 with experts in place of the feed-forward, in all layers or in those that the config says. */
export const qwen3Moe: Family = {
  name: 'qwen3-moe',
  modelTypes: ['qwen3_moe'],
  build(config: ConfigReader) {
    config.choice('hidden_act', ['silu'], 'silu');
    const sizes = readSizes(config);
    const rope = readRope(config, sizes.head);
    // Transformers 5 calls `num_local_experts` what the published configs call `num_experts`.
    const count = config.has('num_experts') ? 'num_experts' : 'num_local_experts';
    const experts = config.int(count, ranges.experts);
    const params = {
      ...sizes,
      inner: config.int('intermediate_size', ranges.width),
      kv_heads: readKvHeads(config, sizes.heads),
      frequencies: rope.frequencies,
      rope_scale: rope.scale,
      windows: readUpperWindows(config, sizes.depth),
      bias: config.bool('attention_bias', false),
      sparse: readSparse(config, sizes.depth),
      experts,
      active: config.int('num_experts_per_tok', { min: 1, max: experts }),
      expert_inner: config.int('moe_intermediate_size', ranges.width),
      renormalise: config.bool('norm_topk_prob', false),
    };
    return bind(qwen3MoeDecoder, { params, ...readConventions(config, sizes.vocab) });
  },
};

/** Layers with experts: each `decoder_sparse_step`th but those of `mlp_only_layers`. */
function readSparse(config: ConfigReader, depth: number): readonly boolean[] {
  const step = config.int('decoder_sparse_step', ranges.depth, 1);
  const dense = config.idsOf('mlp_only_layers', depth);
  return Array.from({ length: depth }, (_, l) => (l + 1) % step === 0 && !dense.includes(l));
}
