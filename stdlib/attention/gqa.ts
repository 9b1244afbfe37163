import { block } from '../../compiler/index.ts';
import { rmsNorm } from '../norm/rms-norm.ts';
import { rope } from './rope.ts';

/**
 * Attention with query heads in groups that share a key/value head. `bias` adds biases to q, k and
 * v, `out_bias` to the output; `head_norm` normalises each head of q and k before RoPE; no
 * frequencies, no RoPE.
 */
export const gqa = block`
  gqa(
    x: [t, d];
    heads: int,
    kv_heads: int,
    head: int,
    frequencies: [real],
    rope_scale: real = 1,
    mask: fn = |i, j| j <= i,
    bias: bool = false,
    out_bias: bool = false,
    head_norm: bool = false,
    eps: real = 1e-6
  ) -> [t, d] {
    weight q_proj: [heads * head, d], k_proj: [kv_heads * head, d], v_proj: [kv_heads * head, d]
    weight o_proj: [d, heads * head]

    q = x @ q_proj.T
    k = x @ k_proj.T
    v = x @ v_proj.T
    if bias {
      weight q_bias: [heads * head] from "q_proj.bias"
      weight k_bias: [kv_heads * head] from "k_proj.bias"
      weight v_bias: [kv_heads * head] from "v_proj.bias"
      q = q + q_bias
      k = k + k_bias
      v = v + v_bias
    }

    q = q as [t, heads, head]
    k = k as [t, kv_heads, head]
    if head_norm {
      use q_norm = ${rmsNorm}(eps = eps)
      use k_norm = ${rmsNorm}(eps = eps)
      q = q_norm(q)
      k = k_norm(k)
    }
    if len(frequencies) > 0 {
      q = ${rope}(q, frequencies = frequencies, scale = rope_scale)
      k = ${rope}(k, frequencies = frequencies, scale = rope_scale)
    }

    o = attend(q, k, v as [t, kv_heads, head], mask = mask) as [t, heads * head] @ o_proj.T
    if out_bias {
      weight o_bias: [d] from "o_proj.bias"
      o = o + o_bias
    }
    return o
  }
`;
