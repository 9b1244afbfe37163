/** How long checking the largest model of the library takes: DeepSeek-V3 with its published sizes. */
import { makeLog } from '../compiler/base/diagnostic.ts';
import { checkModel } from '../compiler/2-model/check.ts';
import type { BoundModel } from '../compiler/index.ts';
import { modelOf } from '../stdlib/index.ts';
import { median } from './statistics.ts';

/** 671 billion parameters: the `config.json` of the published checkpoint, what matters of it. */
export const deepseekV3 = (): BoundModel =>
  modelOf({
    model_type: 'deepseek_v3',
    vocab_size: 129_280,
    hidden_size: 7168,
    num_hidden_layers: 61,
    num_attention_heads: 128,
    intermediate_size: 18_432,
    moe_intermediate_size: 2048,
    first_k_dense_replace: 3,
    n_routed_experts: 256,
    n_shared_experts: 1,
    num_experts_per_tok: 8,
    n_group: 8,
    topk_group: 4,
    routed_scaling_factor: 2.5,
    norm_topk_prob: true,
    scoring_func: 'sigmoid',
    topk_method: 'noaux_tc',
    kv_lora_rank: 512,
    q_lora_rank: 1536,
    qk_nope_head_dim: 128,
    qk_rope_head_dim: 64,
    v_head_dim: 128,
    rms_norm_eps: 1e-6,
    max_position_embeddings: 163_840,
    rope_theta: 10_000,
    rope_scaling: {
      type: 'yarn',
      factor: 40,
      original_max_position_embeddings: 4096,
      beta_fast: 32,
      beta_slow: 1,
      mscale: 1,
      mscale_all_dim: 1,
    },
  });

export interface CheckResult {
  readonly coldMs: number;
  /** Median of the later rounds. */
  readonly warmMs: number;
}

export function benchCheck(rounds: number): CheckResult {
  const bound = deepseekV3();
  const took = Array.from({ length: rounds + 3 }, () => {
    const log = makeLog();
    const began = performance.now();
    const model = checkModel(bound, log);
    if (!model) throw new Error('DeepSeek-V3 does not check');
    return performance.now() - began;
  });
  return { coldMs: took[0] ?? NaN, warmMs: median(took.slice(3)) };
}
