/** A model of DeepSeek-V3's sizes that needs no checkpoint: 61 layers, 256 experts in most. */
import { bind, model } from '../../compiler/index.ts';
import { mfa, reglu, regluExperts, rmsNorm, topThenSoftmax } from '../../stdlib/index.ts';

const frequencies = Array.from({ length: 64 }, (_, i) => 1e4 ** (-i / 64));

export const wide = bind(
  model`
  wide(ids: i32 [t]; vocab: int, width: int, depth: int, dense: int, frequencies: [real]) -> [t, vocab] {
    weight embed: [vocab, width]
    x = embed[ids]
    repeat layers[l: depth] {
      use input_norm = ${rmsNorm}(eps = 1e-6)
      use self_attn = ${mfa}(heads = 128, head = 128, rank = 1536, frequencies = frequencies, eps = 1e-6)
      use post_norm = ${rmsNorm}(eps = 1e-6)
      x = x + self_attn(input_norm(x))
      h = post_norm(x)
      if l < dense {
        use mlp = ${reglu}(inner = 18432)
        x = x + mlp(h)
      } else {
        use router = ${topThenSoftmax}(experts = 256, active = 8)
        use experts = ${regluExperts}(experts = 256, inner = 2048)
        use shared = ${reglu}(inner = 2048)
        share, chosen = router(h)
        x = x + shared(h) + experts(h, share, chosen)
      }
    }
    use norm = ${rmsNorm}(eps = 1e-6)
    weight lm_head: [vocab, width]
    return norm(x) @ lm_head.T
  }
`,
  { params: { vocab: 129280, width: 7168, depth: 61, dense: 3, frequencies } },
);
