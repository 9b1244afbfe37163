import { block } from '../../compiler/index.ts';

/**
 * Rotary position embedding over pairs (i, i + n/2) of the first 2 * len(frequencies) dimensions of
 * each head. `scale` multiplies cos and sin (yarn's attention factor).
 */
export const rope = block`
  rope(x: [t, heads, n]; theta: real = 1e4,
       frequencies: [real] = theta ^ (-2 * iota(n / 2) / n), scale: real = 1) -> [t, heads, n] {
    cos, sin = angles(positions, frequencies = frequencies, scale = scale)
    return rotate(x, cos, sin)
  }
`;
