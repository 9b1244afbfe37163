import { block } from '../../compiler/index.ts';

/** x / sqrt(mean x^2 + eps), times a learned gain, over the last axis. */
export const rmsNorm = block`
  rmsNorm(x: [.., n]; eps: real = 1e-6) -> [.., n] {
    weight gain: [n] from "weight"
    return x * rsqrt(mean(x * x) + eps) * gain
  }
`;
