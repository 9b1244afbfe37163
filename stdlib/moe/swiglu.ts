import { block } from '../../compiler/index.ts';

/** The dense feed-forward of Llama: down(silu(gate x) * up x), `inner` wide. */
export const swiglu = block`
  swiglu(x: [t, d]; inner: int, bias: bool = false) -> [t, d] {
    weight gate_proj: [inner, d], up_proj: [inner, d], down_proj: [d, inner]
    gate = x @ gate_proj.T
    up = x @ up_proj.T
    if bias {
      weight gate_bias: [inner] from "gate_proj.bias"
      weight up_bias: [inner] from "up_proj.bias"
      weight down_bias: [d] from "down_proj.bias"
      return (silu(gate + gate_bias) * (up + up_bias)) @ down_proj.T + down_bias
    } else {
      return (silu(gate) * up) @ down_proj.T
    }
  }
`;

/**
 * The chosen experts' outputs, weighted and summed; the checkpoint keeps the experts stacked:
 * `gate_proj` [experts, inner, d] and so on. `chosen`: numbers of the experts of each token; `share`:
 * their weights.
 */
export const swigluExperts = block`
  swigluExperts(
    x: [t, d],
    share: [t, active],
    chosen: i32 [t, active];
    experts: int,
    inner: int
  ) -> [t, d] {
    weight gate_proj: [experts, inner, d], up_proj: [experts, inner, d]
    weight down_proj: [experts, d, inner]
    y = grouped(
      silu(grouped(x, gate_proj, chosen)) * grouped(x, up_proj, chosen),
      down_proj,
      chosen
    )
    return sum(y * (share as [t, active, 1]), axis = 1) as [t, d]
  }
`;

/** The same for a checkpoint that keeps the experts one by one: `experts.0.gate_proj` and so on. */
export const swigluExpertList = block`
  swigluExpertList(
    x: [t, d],
    share: [t, active],
    chosen: i32 [t, active];
    experts: int,
    inner: int
  ) -> [t, d] {
    weight gate_proj: [experts, inner, d] from "experts.*.gate_proj"
    weight up_proj: [experts, inner, d] from "experts.*.up_proj"
    weight down_proj: [experts, d, inner] from "experts.*.down_proj"
    y = grouped(
      silu(grouped(x, gate_proj, chosen)) * grouped(x, up_proj, chosen),
      down_proj,
      chosen
    )
    return sum(y * (share as [t, active, 1]), axis = 1) as [t, d]
  }
`;
