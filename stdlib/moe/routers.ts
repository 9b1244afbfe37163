/**
 * Routers: which `active` of `experts` a token goes to, and with what share. They differ in what is
 * normalised over what; each returns (share [t, active], chosen i32 [t, active]).
 */
import { block } from '../../compiler/index.ts';

/** The largest logits, softmax over those alone; gpt-oss has a `bias` in the logits. */
export const topThenSoftmax = block`
  topThenSoftmax(
    x: [t, d];
    experts: int,
    active: int,
    bias: bool = false
  ) -> [t, active], i32 [t, active] {
    weight w: [experts, d] from "weight"
    logits = x @ w.T
    if bias {
      weight b: [experts] from "bias"
      logits = logits + b
    }
    largest, chosen = top_k(logits, k = active)
    return softmax(largest), chosen
  }
`;

/**
 * Softmax over all experts, then the largest; `renormalise` makes the shares sum to one. With one
 * active expert and no renormalisation it is the router of Switch Transformers.
 */
export const softmaxThenTop = block`
  softmaxThenTop(
    x: [t, d];
    experts: int,
    active: int,
    renormalise: bool = false
  ) -> [t, active], i32 [t, active] {
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

/**
 * Scores of the experts outside of the `kept` groups with the best totals are put below all others.
 * A group's total is the sum of its `best` largest scores.
 */
export const limitToGroups = block`
  limitToGroups(scores: [t, experts]; groups: int, kept: int, best: int) -> [t, experts] {
    grouped_scores = scores as [t, groups, experts / groups]
    largest, at = top_k(grouped_scores, k = best)
    totals, chosen = top_k(sum(largest) as [t, groups], k = kept)
    inside = among(chosen, of = groups) as [t, groups, 1]
    return where(inside, grouped_scores, -1e30) as [t, experts]
  }
`;

/** DeepSeek-V2 (2024), section 2.1.2: softmax, the largest within the groups of largest members. */
export const groupLimited = block`
  groupLimited(
    x: [t, d];
    experts: int,
    active: int,
    groups: int = 1,
    kept: int = 1,
    renormalise: bool = false,
    scale: real = 1
  ) -> [t, active], i32 [t, active] {
    weight w: [experts, d] from "weight"
    scores = softmax(x @ w.T)
    if groups > 1 { scores = ${limitToGroups}(scores, groups = groups, kept = kept, best = 1) }
    share, chosen = top_k(scores, k = active)
    if renormalise { share = share / (sum(share) + 1e-20) }
    return share * scale, chosen
  }
`;

/**
 * DeepSeek-V3 (2024), section 2.1.2: sigmoid scores; a bias that balances the load decides with them
 * who is chosen, within the groups whose two best sum highest, and has no part in the shares.
 */
export const biasedSigmoid = block`
  biasedSigmoid(
    x: [t, d];
    experts: int,
    active: int,
    groups: int = 1,
    kept: int = 1,
    renormalise: bool = true,
    scale: real = 1
  ) -> [t, active], i32 [t, active] {
    weight w: [experts, d] from "weight"
    weight bias: [experts] from "e_score_correction_bias"
    scores = sigmoid(x @ w.T)
    biased = scores + bias
    if groups > 1 { biased = ${limitToGroups}(biased, groups = groups, kept = kept, best = 2) }
    largest, chosen = top_k(biased, k = active)
    share = pick(scores, chosen)
    if renormalise { share = share / (sum(share) + 1e-20) }
    return share * scale, chosen
  }
`;
