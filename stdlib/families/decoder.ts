import { model } from '../../compiler/index.ts';
import { gqa } from '../attention/gqa.ts';
import { swiglu } from '../moe/swiglu.ts';
import { rmsNorm } from '../norm/rms-norm.ts';

/**
 * The decoder that Llama, Mistral, Qwen2 and Qwen3 share: pre-norm layers of grouped-query attention
 * and a SwiGLU. The families are its parameters. `windows[l]` is 0 where layer l sees everything.
 */
export const decoder = model`
  decoder(
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
    bias: bool = false,
    out_bias: bool = false,
    mlp_bias: bool = false,
    head_norm: bool = false,
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
        out_bias = out_bias,
        head_norm = head_norm,
        eps = eps
      )
      use post_attention_layernorm = ${rmsNorm}(eps = eps)
      use mlp = ${swiglu}(inner = inner, bias = mlp_bias)

      x = x + self_attn(input_layernorm(x))
      x = x + mlp(post_attention_layernorm(x))
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
