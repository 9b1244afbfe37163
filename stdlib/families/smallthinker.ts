import { bind, model } from '../../compiler/index.ts';
import { gqa } from '../attention/gqa.ts';
import { regluExperts } from '../moe/reglu.ts';
import { topThenSigmoid, topThenSoftmax } from '../moe/routers.ts';
import { rmsNorm } from '../norm/rms-norm.ts';
import { type ConfigReader, ranges } from './config.ts';
import { type Family, readConventions, readKvHeads, readSizes } from './family.ts';
import { readRope } from './rope.ts';

const smallthinkerDecoder = model`
  smallthinker(
    ids: i32 [t];
    vocab: int,
    width: int,
    depth: int,
    heads: int,
    kv_heads: int,
    head: int,
    frequencies: [real],
    rope_scale: real,
    rotary: [bool],
    windows: [int],
    experts: int,
    active: int,
    inner: int,
    router: block,
    eps: real,
    tied: bool
  ) -> [t, vocab] {
    weight embed: [vocab, width] from "model.embed_tokens"
    x = embed[ids]

    repeat layers[l: depth] from "model.layers" {
      use primary_router = router(
        experts = experts,
        active = active
      ) from "block_sparse_moe.primary_router"
      use input_layernorm = ${rmsNorm}(eps = eps)
      use self_attn = ${gqa}(
        heads = heads,
        kv_heads = kv_heads,
        head = head,
        frequencies = if rotary[l] then frequencies else [],
        rope_scale = rope_scale,
        mask = if windows[l] > 0 then |i, j| j <= i and i - j < windows[l] else |i, j| j <= i
      )
      use post_attention_layernorm = ${rmsNorm}(eps = eps)
      use block_sparse_moe = ${regluExperts}(experts = experts, inner = inner)

      share, chosen = primary_router(x)
      x = x + self_attn(input_layernorm(x))
      x = x + block_sparse_moe(post_attention_layernorm(x), share, chosen)
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

/** SmallThinker: a router that reads the layer's raw input, ReGLU experts, NoPE full layers. */
export const smallthinker: Family = {
  name: 'smallthinker',
  modelTypes: ['smallthinker'],
  build(config: ConfigReader) {
    const sizes = readSizes(config);
    const rope = readRope(config, sizes.head);
    const flag = { min: 0, max: 1 };
    const slides = config.ints('sliding_window_layout', sizes.depth, flag);
    const experts = config.int('moe_num_primary_experts', ranges.experts);
    const softmax = config.bool('moe_primary_router_apply_softmax');
    const params = {
      ...sizes,
      kv_heads: readKvHeads(config, sizes.heads),
      frequencies: rope.frequencies,
      rope_scale: rope.scale,
      rotary: config.ints('rope_layout', sizes.depth, flag).map((on) => on === 1),
      windows: slides.map((on) =>
        on === 1 ? config.int('sliding_window_size', ranges.window) : 0,
      ),
      experts,
      active: config.int('moe_num_active_primary_experts', { min: 1, max: experts }),
      inner: config.int('moe_ffn_hidden_size', ranges.width),
      router: softmax ? topThenSoftmax : topThenSigmoid,
    };
    return bind(smallthinkerDecoder, { params, ...readConventions(config, sizes.vocab) });
  },
};
