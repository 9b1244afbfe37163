/** Chosen experts beside one that every token goes through. */
import { block } from '../../compiler/index.ts';
import { softmaxThenTop } from './routers.ts';
import { swiglu } from './swiglu.ts';

/**
 * The feed-forward of Qwen1.5-MoE and Qwen2-MoE (2024), section 2.2.2: a sigmoid of each token opens
 * the shared expert, `shared` wide, as far as it is wanted. Experts one by one, `inner` wide.
 */
export const gatedShared = block`
  gatedShared(
    x: [t, d];
    experts: int,
    active: int,
    inner: int,
    shared: int,
    renormalise: bool = false
  ) -> [t, d] {
    weight shared_expert_gate: [1, d]
    use gate = ${softmaxThenTop}(experts = experts, active = active, renormalise = renormalise)
    weight gate_proj: [experts, inner, d] from "experts.*.gate_proj"
    weight up_proj: [experts, inner, d] from "experts.*.up_proj"
    weight down_proj: [experts, d, inner] from "experts.*.down_proj"
    use shared_expert = ${swiglu}(inner = shared)
    share, chosen = gate(x)
    open = sigmoid(x @ shared_expert_gate.T)
    y = grouped(
      silu(grouped(x, gate_proj, chosen)) * grouped(x, up_proj, chosen),
      down_proj,
      chosen
    )
    return sum(y * (share as [t, active, 1]), axis = 1) as [t, d] + open * shared_expert(x)
  }
`;
