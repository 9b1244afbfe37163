/**
 * The bard: a five-million-parameter co-design, layer by layer as in its figure.
 *
 *            +-----------------------> router (raw residual) --------------+
 *            |                                                             | shares, experts
 *   x -------+-- norm -- MFA --(+)------+-- norm --+-- ReGLU experts <-----+--(+)--(+)-- x
 *            +------------------^       |          +-- shared ReGLU expert ----^    ^
 *                                       +-------------------------------------------+
 *
 * Layers 0 and 3 see everything and have no positions; the others rotate and see a window.
 */
import { bind, block, model } from '../../compiler/index.ts';
import type { BardParams } from './model.types.ts';
import { reglu, regluExperts, rmsNorm, rope, topThenSoftmax } from '../../stdlib/index.ts';

/** Low-rank queries with a norm inside; one key/value head for all query heads. */
const attention = block`
  attention(
    x: [t, d];
    heads: int,
    head: int,
    rank: int,
    rotary: bool,
    window: int,
    eps: real
  ) -> [t, d] {
    weight q_proj: [rank, d], k_proj: [head, d], v_proj: [head, d]
    weight wq: [heads * head, rank], o_proj: [d, heads * head]
    use inter_norm = ${rmsNorm}(eps = eps)

    q = (inter_norm(x @ q_proj.T) @ wq.T) as [t, heads, head]
    k = (x @ k_proj.T) as [t, 1, head]
    v = (x @ v_proj.T) as [t, 1, head]

    if rotary {
      o = attend(
        ${rope}(q, theta = 1e4),
        ${rope}(k, theta = 1e4),
        v,
        mask = |i, j| j <= i and i - j < window
      )
    } else {
      o = attend(q, k, v, mask = |i, j| j <= i)
    }
    return o as [t, heads * head] @ o_proj.T
  }
`;

const bard = model<BardParams>`
  bard(ids: i32 [t]; vocab: int, width: int, layout: [bool], eps: real = 1e-5) -> [t, vocab] {
    weight embed: [vocab, width] from "model.embed_tokens"
    x = embed[ids]

    repeat layers[l: len(layout)] from "model.layers" {
      use router = ${topThenSoftmax}(experts = 8, active = 2) from "block_sparse_moe.primary_router"
      use input_layernorm = ${rmsNorm}(eps = eps)
      use self_attn = ${attention}(
        heads = 8,
        head = 32,
        rank = 96,
        rotary = layout[l],
        window = 64,
        eps = eps
      )
      use post_attention_layernorm = ${rmsNorm}(eps = eps)
      use experts = ${regluExperts}(experts = 8, inner = 128) from "block_sparse_moe"
      use shared = ${reglu}(inner = 128) from "block_sparse_moe.shared_expert"

      share, chosen = router(x)
      x = x + self_attn(input_layernorm(x))
      h = post_attention_layernorm(x)
      x = x + shared(h) + experts(h, share, chosen)
    }

    use norm = ${rmsNorm}(eps = eps) from "model.norm"
    return norm(x) @ embed.T
  }
`;

export default bind(bard, {
  params: { vocab: 2048, width: 192, layout: [false, true, true, false, true, true] },
  checkpoint: new URL('./weights/', import.meta.url),
  context: 512,
  bos: 0,
  eos: [1],
});
