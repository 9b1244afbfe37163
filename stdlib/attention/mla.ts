import { block } from '../../compiler/index.ts';
import { rmsNorm } from '../norm/rms-norm.ts';
import { rope } from './rope.ts';

/**
 * Multi-head latent attention: keys and values of all heads come from one latent vector of `rank`,
 * and one rotated key is shared by all heads. `query_rank` 0: queries are not compressed. Each head
 * has `nope` plain and `turned` rotated dimensions of q and k, and `value` of v. `norm_eps`: of the
 * norms inside. DeepSeek-V2 (2024), section 2.1.
 */
export const mla = block`
  mla(
    x: [t, d];
    heads: int,
    nope: int,
    turned: int,
    value: int,
    rank: int,
    query_rank: int = 0,
    frequencies: [real],
    rope_scale: real = 1,
    pairing: text = "interleaved",
    scale: real,
    norm_eps: real = 1e-6
  ) -> [t, d] {
    weight kv_a: [rank + turned, d] from "kv_a_proj_with_mqa"
    weight kv_b_proj: [heads * (nope + value), rank]
    weight o_proj: [d, heads * value]
    use kv_a_layernorm = ${rmsNorm}(eps = norm_eps)

    if query_rank > 0 {
      weight q_a_proj: [query_rank, d], q_b_proj: [heads * (nope + turned), query_rank]
      use q_a_layernorm = ${rmsNorm}(eps = norm_eps)
      q = q_a_layernorm(x @ q_a_proj.T) @ q_b_proj.T
    } else {
      weight q_proj: [heads * (nope + turned), d]
      q = x @ q_proj.T
    }
    q = q as [t, heads, nope + turned]
    q_turned = ${rope}(
      slice(q, from = nope, to = nope + turned),
      frequencies = frequencies,
      scale = rope_scale,
      pairing = pairing
    )

    latent = x @ kv_a.T
    k_turned = ${rope}(
      slice(latent, from = rank, to = rank + turned) as [t, 1, turned],
      frequencies = frequencies,
      scale = rope_scale,
      pairing = pairing
    )
    kv = (
      kv_a_layernorm(slice(latent, from = 0, to = rank)) @ kv_b_proj.T
    ) as [t, heads, nope + value]

    o = attend(
      concat(slice(q, from = 0, to = nope), q_turned),
      concat(slice(kv, from = 0, to = nope), k_turned),
      slice(kv, from = nope, to = nope + value),
      scale = scale
    )
    return o as [t, heads * value] @ o_proj.T
  }
`;
