import { bind, model } from '../../compiler/index.ts';
import { mfa } from '../attention/mfa.ts';
import { softmaxThenTop } from '../moe/routers.ts';
import { swiglu, swigluExperts } from '../moe/swiglu.ts';
import { rmsNorm } from '../norm/rms-norm.ts';
import { type ConfigReader, ranges } from './config.ts';
import { type Family, readConventions, readSizes } from './family.ts';
import { readRope } from './rope.ts';

const step3Decoder = model`
  step3(
    ids: i32 [t];
    vocab: int,
    width: int,
    depth: int,
    inner: int,
    heads: int,
    head: int,
    rank: int,
    frequencies: [real],
    rope_scale: real,
    sparse: [bool],
    experts: int,
    active: int,
    expert_inner: int,
    shared_inner: int,
    renormalise: bool,
    eps: real,
    tied: bool
  ) -> [t, vocab] {
    weight embed: [vocab, width] from "model.embed_tokens"
    x = embed[ids]

    repeat layers[l: depth] from "model.layers" {
      use input_layernorm = ${rmsNorm}(eps = eps)
      use self_attn = ${mfa}(
        heads = heads,
        head = head,
        rank = rank,
        frequencies = frequencies,
        rope_scale = rope_scale,
        eps = eps
      )
      use post_attention_layernorm = ${rmsNorm}(eps = eps)

      x = x + self_attn(input_layernorm(x))
      h = post_attention_layernorm(x)
      if sparse[l] {
        use router = ${softmaxThenTop}(
          experts = experts,
          active = active,
          renormalise = renormalise
        ) from "moe.gate"
        use moe = ${swigluExperts}(experts = experts, inner = expert_inner)
        use share_expert = ${swiglu}(inner = shared_inner)
        share, chosen = router(h)
        x = x + moe(h, share, chosen) + share_expert(h)
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

/** Step-3's text model: MFA, and in most layers routed experts beside a shared one. */
export const step3: Family = {
  name: 'step3',
  modelTypes: ['step3_text'],
  build(config: ConfigReader) {
    const sizes = readSizes(config, 1e-5);
    const rope = readRope(config, sizes.head, 5e5);
    config.int('num_attention_groups', { min: 1, max: 1 }, 1);
    const experts = config.int('moe_num_experts', ranges.experts);
    const params = {
      ...sizes,
      inner: config.int('intermediate_size', ranges.width),
      rank: config.int('share_q_dim', ranges.width),
      frequencies: rope.frequencies,
      rope_scale: rope.scale,
      sparse: readSparse(config, sizes.depth),
      experts,
      active: config.int('moe_top_k', { min: 1, max: experts }),
      expert_inner: config.int('moe_intermediate_size', ranges.width),
      shared_inner: config.int('share_expert_dim', ranges.width),
      renormalise: config.bool('norm_expert_weight', false),
    };
    return bind(step3Decoder, { params, ...readConventions(config, sizes.vocab) });
  },
};

/** Which layers have experts: those that `moe_layers_enum` lists ("4,5,6"), else all but the first. */
function readSparse(config: ConfigReader, depth: number): readonly boolean[] {
  const layers = Array.from({ length: depth }, (_, l) => l);
  if (!config.has('moe_layers_enum')) return layers.map((l) => l > 0);
  const listed = config
    .text('moe_layers_enum')
    .split(',')
    .filter((part) => part.trim() !== '')
    .map(Number);
  if (!listed.every((l) => Number.isInteger(l) && l >= 0 && l < depth)) {
    config.reject('moe_layers_enum', `numbers of layers below ${depth}, with commas`);
  }
  return layers.map((l) => listed.includes(l));
}
