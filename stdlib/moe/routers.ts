/**
 * Routers: which `active` of `experts` a token goes to, and with what share. They differ in what is
 * normalised over what; each returns (share [t, active], chosen i32 [t, active]).
 */
import { block } from '../../compiler/index.ts';

/** The largest logits, softmax over those alone: the shares of a token sum to one. */
export const topThenSoftmax = block`
  topThenSoftmax(x: [t, d]; experts: int, active: int) -> [t, active], i32 [t, active] {
    weight w: [experts, d] from "weight"
    logits, chosen = top_k(x @ w.T, k = active)
    return softmax(logits), chosen
  }
`;

/** Softmax over all experts, then the largest; `renormalise` makes the shares sum to one. */
export const softmaxThenTop = block`
  softmaxThenTop(x: [t, d]; experts: int, active: int, renormalise: bool = false)
      -> [t, active], i32 [t, active] {
    weight w: [experts, d] from "weight"
    share, chosen = top_k(softmax(x @ w.T), k = active)
    if renormalise { share = share / sum(share) }
    return share, chosen
  }
`;

/** The largest logits, each through a sigmoid, divided by their sum. */
export const topThenSigmoid = block`
  topThenSigmoid(x: [t, d]; experts: int, active: int) -> [t, active], i32 [t, active] {
    weight w: [experts, d] from "weight"
    logits, chosen = top_k(x @ w.T, k = active)
    share = sigmoid(logits)
    return share / sum(share), chosen
  }
`;
