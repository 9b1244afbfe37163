import { block } from '../../compiler/index.ts';

/** down(relu(gate x) * up x): sparse, for a gate that is not positive silences its row of down. */
export const reglu = block`
  reglu(x: [t, d]; inner: int) -> [t, d] {
    weight gate: [inner, d], up: [inner, d], down: [d, inner]
    return (relu(x @ gate.T) * (x @ up.T)) @ down.T
  }
`;

/**
 * The chosen experts' outputs, weighted and summed; the checkpoint keeps the experts one by one.
 * `chosen`: numbers of the experts of each token; `share`: their weights.
 */
export const regluExperts = block`
  regluExperts(
    x: [t, d],
    share: [t, active],
    chosen: i32 [t, active];
    experts: int,
    inner: int
  ) -> [t, d] {
    weight gate: [experts, inner, d] from "experts.*.gate"
    weight up: [experts, inner, d] from "experts.*.up"
    weight down: [experts, d, inner] from "experts.*.down"
    y = grouped(relu(grouped(x, gate, chosen)) * grouped(x, up, chosen), down, chosen)
    return sum(y * (share as [t, active, 1]), axis = 1) as [t, d]
  }
`;
