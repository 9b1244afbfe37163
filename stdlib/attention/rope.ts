import { block } from '../../compiler/index.ts';

/**
 * Rotary position embedding of the first 2 m dimensions of each head, m = len(frequencies): over
 * pairs (i, i + m), or (2 i, 2 i + 1) where `pairing` is "interleaved". `scale` multiplies cos and sin (yarn's attention factor).
 */
export const rope = block`
  rope(
    x: [t, heads, n];
    theta: real = 1e4,
    frequencies: [real] = theta ^ (-2 * iota(n / 2) / n),
    scale: real = 1,
    pairing: text = "half"
  ) -> [t, heads, n] {
    cos, sin = angles(positions, frequencies = frequencies, scale = scale)
    return rotate(x, cos, sin, pairing = pairing)
  }
`;
