import { block } from '../../compiler/index.ts';
import { rmsNorm } from '../norm/rms-norm.ts';
import { rope } from './rope.ts';

/**
 * Multi-matrix factorisation attention: a low-rank query path with a norm inside, and one key/value
 * head shared by every query head. Step-3 (2025), section 4.
 */
export const mfa = block`
  mfa(
    x: [t, d];
    heads: int,
    head: int,
    rank: int,
    frequencies: [real],
    rope_scale: real = 1,
    mask: fn = |i, j| j <= i,
    eps: real = 1e-5
  ) -> [t, d] {
    weight q_proj: [rank, d], k_proj: [head, d], v_proj: [head, d]
    weight wq: [heads * head, rank], o_proj: [d, heads * head]
    use inter_norm = ${rmsNorm}(eps = eps)

    q = (inter_norm(x @ q_proj.T) @ wq.T) as [t, heads, head]
    k = (x @ k_proj.T) as [t, 1, head]
    v = (x @ v_proj.T) as [t, 1, head]
    if len(frequencies) > 0 {
      q = ${rope}(q, frequencies = frequencies, scale = rope_scale)
      k = ${rope}(k, frequencies = frequencies, scale = rope_scale)
    }
    return attend(q, k, v, mask = mask) as [t, heads * head] @ o_proj.T
  }
`;
