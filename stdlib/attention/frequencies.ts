/**
 * The angles per position of rotary embeddings, `theta ^ (-2 i / n)`, under each scaling that
 * published checkpoints use. Computed in double precision; position times frequency is the angle.
 */

/** How a context longer than the trained one is reached. `original`: positions trained on. */
export type RopeScaling =
  | { readonly type: 'default' }
  | { readonly type: 'linear'; readonly factor: number }
  | {
      readonly type: 'llama3';
      readonly factor: number;
      readonly lowFrequencyFactor: number;
      readonly highFrequencyFactor: number;
      readonly original: number;
    }
  | {
      readonly type: 'yarn';
      readonly factor: number;
      readonly original: number;
      readonly betaFast: number;
      readonly betaSlow: number;
      /** Whether the borders of the ramp are rounded outwards to whole dimensions. */
      readonly truncate: boolean;
      /** On cos and sin; absent: 0.1 ln(factor) + 1. */
      readonly attentionFactor?: number;
    };

export interface Rope {
  /** One for each rotated pair, [dims / 2]. */
  readonly frequencies: readonly number[];
  /** What cos and sin are multiplied by. */
  readonly scale: number;
}

/** `dims`: the rotated dimensions of a head, even; fewer than the head has where RoPE is partial. */
export function ropeFrequencies(dims: number, theta: number, scaling: RopeScaling): Rope {
  const plain = Array.from({ length: dims / 2 }, (_, i) => theta ** ((-2 * i) / dims));
  switch (scaling.type) {
    case 'default':
      return { frequencies: plain, scale: 1 };
    case 'linear':
      return { frequencies: plain.map((f) => f / scaling.factor), scale: 1 };
    case 'llama3':
      return { frequencies: plain.map((f) => llama3(f, scaling)), scale: 1 };
    case 'yarn':
      return yarn(plain, dims, theta, scaling);
  }
}

type ScalingOf<T extends RopeScaling['type']> = Extract<RopeScaling, { readonly type: T }>;

/** Keeps short waves, divides long ones, and blends those between; waves in positions. */
function llama3(f: number, s: ScalingOf<'llama3'>): number {
  const turns = (s.original * f) / (2 * Math.PI);
  if (turns > s.highFrequencyFactor) return f;
  if (turns < s.lowFrequencyFactor) return f / s.factor;
  const blend = (turns - s.lowFrequencyFactor) / (s.highFrequencyFactor - s.lowFrequencyFactor);
  return ((1 - blend) * f) / s.factor + blend * f;
}

/** Peng et al., "YaRN: Efficient Context Window Extension" (2023), section 3.2. */
function yarn(plain: readonly number[], dims: number, theta: number, s: ScalingOf<'yarn'>): Rope {
  const dimOf = (turns: number): number =>
    (dims * Math.log(s.original / (turns * 2 * Math.PI))) / (2 * Math.log(theta));
  const round = (value: number, how: (v: number) => number) => (s.truncate ? how(value) : value);
  const low = Math.max(round(dimOf(s.betaFast), Math.floor), 0);
  const high = Math.min(round(dimOf(s.betaSlow), Math.ceil), dims - 1);
  // A ramp of no width would divide by zero.
  const width = high === low ? 0.001 : high - low;
  const frequencies = plain.map((f, i) => {
    const ramp = Math.min(Math.max((i - low) / width, 0), 1);
    return (f / s.factor) * ramp + f * (1 - ramp);
  });
  return { frequencies, scale: s.attentionFactor ?? yarnMagnitude(s.factor, 1) };
}

/** 0.1 m ln(factor) + 1, and 1 where nothing is stretched. */
export const yarnMagnitude = (factor: number, m: number): number =>
  factor <= 1 ? 1 : 0.1 * m * Math.log(factor) + 1;
