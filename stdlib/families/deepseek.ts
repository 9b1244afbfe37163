import { bind, model } from '../../compiler/index.ts';
import { yarnMagnitude } from '../attention/frequencies.ts';
import { mla } from '../attention/mla.ts';
import { biasedSigmoid, groupLimited } from '../moe/routers.ts';
import { swiglu, swigluExpertList } from '../moe/swiglu.ts';
import { rmsNorm } from '../norm/rms-norm.ts';
import { type ConfigReader, ranges } from './config.ts';
import { type Family, readConventions, readSizes } from './family.ts';
import { readRope } from './rope.ts';

const deepseekDecoder = model`
  deepseek(
    ids: i32 [t];
    vocab: int,
    width: int,
    depth: int,
    inner: int,
    heads: int,
    nope: int,
    turned: int,
    value: int,
    rank: int,
    query_rank: int,
    frequencies: [real],
    rope_scale: real,
    scale: real,
    sparse: [bool],
    router: block,
    experts: int,
    active: int,
    groups: int,
    kept: int,
    renormalise: bool,
    share_scale: real,
    expert_inner: int,
    shared_inner: int,
    eps: real,
    tied: bool
  ) -> [t, vocab] {
    weight embed: [vocab, width] from "model.embed_tokens"
    x = embed[ids]

    repeat layers[l: depth] from "model.layers" {
      use input_layernorm = ${rmsNorm}(eps = eps)
      use self_attn = ${mla}(
        heads = heads,
        nope = nope,
        turned = turned,
        value = value,
        rank = rank,
        query_rank = query_rank,
        frequencies = frequencies,
        rope_scale = rope_scale,
        scale = scale
      )
      use post_attention_layernorm = ${rmsNorm}(eps = eps)

      x = x + self_attn(input_layernorm(x))
      h = post_attention_layernorm(x)
      if sparse[l] {
        use gate = router(
          experts = experts,
          active = active,
          groups = groups,
          kept = kept,
          renormalise = renormalise,
          scale = share_scale
        ) from "mlp.gate"
        use moe = ${swigluExpertList}(experts = experts, inner = expert_inner) from "mlp"
        share, chosen = gate(h)
        y = moe(h, share, chosen)
        if shared_inner > 0 {
          use shared_experts = ${swiglu}(inner = shared_inner) from "mlp.shared_experts"
          y = y + shared_experts(h)
        }
        x = x + y
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

/**
 * DeepSeek-V3 and R1: MLA, sigmoid routing within groups under a bias, shared experts; V2 and
 * V2-Lite: softmax routing, within groups in the large one.
 */
export const deepseek: Family = {
  name: 'deepseek',
  modelTypes: ['deepseek_v3', 'deepseek_v2'],
  build(config: ConfigReader) {
    const type = config.choice('model_type', ['deepseek_v3', 'deepseek_v2']);
    return buildDeepseek(config, type === 'deepseek_v3' ? readV3(config) : readV2(config));
  },
};

function readV3(config: ConfigReader): Routing {
  config.choice('scoring_func', ['sigmoid'], 'sigmoid');
  config.choice('topk_method', ['noaux_tc'], 'noaux_tc');
  const renormalise = config.bool('norm_topk_prob', true);
  return { ...readGroups(config), renormalise, router: biasedSigmoid };
}

function readV2(config: ConfigReader): Routing {
  config.choice('scoring_func', ['softmax'], 'softmax');
  const method = config.choice('topk_method', ['greedy', 'group_limited_greedy'], 'greedy');
  if (config.bool('norm_topk_prob', false)) config.reject('norm_topk_prob', 'false');
  const groups = method === 'greedy' ? { groups: 1, kept: 1 } : readGroups(config);
  return { ...groups, renormalise: false, router: groupLimited };
}

interface Routing {
  readonly groups: number;
  readonly kept: number;
  readonly renormalise: boolean;
  readonly router: typeof biasedSigmoid;
}

function buildDeepseek(config: ConfigReader, routing: Routing) {
  config.choice('hidden_act', ['silu'], 'silu');
  if (config.bool('attention_bias', false)) config.reject('attention_bias', 'false');
  config.int('moe_layer_freq', { min: 1, max: 1 }, 1);
  const { head: _, ...sizes } = readSizes(config);
  const [nope, turned] = [
    config.int('qk_nope_head_dim', ranges.head),
    config.int('qk_rope_head_dim', ranges.head),
  ];
  const rope = readRope(config, turned);
  const experts = config.int('n_routed_experts', ranges.experts);
  const dense = config.int('first_k_dense_replace', { min: 0, max: sizes.depth });
  const expertInner = config.int('moe_intermediate_size', ranges.width);
  const shared = { min: 0, max: ranges.experts.max };
  const params = {
    ...sizes,
    inner: config.int('intermediate_size', ranges.width),
    nope,
    turned,
    value: config.int('v_head_dim', ranges.head),
    rank: config.int('kv_lora_rank', ranges.width),
    query_rank: config.has('q_lora_rank') ? config.int('q_lora_rank', ranges.width) : 0,
    frequencies: rope.frequencies,
    rope_scale: rope.scale,
    scale: (nope + turned) ** -0.5 * readMagnitude(config) ** 2,
    sparse: Array.from({ length: sizes.depth }, (_, l) => l >= dense),
    ...routing,
    experts,
    active: config.int('num_experts_per_tok', {
      min: 1,
      max: (experts / routing.groups) * routing.kept,
    }),
    share_scale: config.real('routed_scaling_factor', ranges.factor, 1),
    expert_inner: expertInner,
    shared_inner: expertInner * config.int('n_shared_experts', shared, 0),
  };
  return bind(deepseekDecoder, { params, ...readConventions(config, sizes.vocab) });
}

function readGroups(config: ConfigReader): { readonly groups: number; readonly kept: number } {
  const experts = config.int('n_routed_experts', ranges.experts);
  const groups = config.int('n_group', { min: 1, max: experts }, 1);
  if (experts % groups !== 0 || (groups > 1 && experts / groups < 2)) {
    config.reject('n_group', `a divisor of n_routed_experts, ${experts}, with two in a group`);
  }
  return { groups, kept: config.int('topk_group', { min: 1, max: groups }, 1) };
}

/** What yarn multiplies queries and keys by, each; 1 without it. */
function readMagnitude(config: ConfigReader): number {
  const rope = config.object('rope_parameters') ?? config.object('rope_scaling');
  if (!rope?.has('mscale_all_dim') || !rope.has('factor')) return 1;
  return yarnMagnitude(
    rope.real('factor', ranges.factor),
    rope.real('mscale_all_dim', { min: 0, max: 1e6 }),
  );
}
