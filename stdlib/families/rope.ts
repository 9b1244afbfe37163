import {
  type Rope,
  type RopeScaling,
  ropeFrequencies,
  yarnMagnitude,
} from '../attention/frequencies.ts';
import { type ConfigReader, ranges } from './config.ts';

/**
 * RoPE as a config writes it, in either spelling: one `rope_parameters` object, or `rope_theta`
 * beside `rope_scaling` (`rope_type` or `type`). `head`: dimensions of a head.
 */
export function readRope(config: ConfigReader, head: number, defaultTheta = 1e4): Rope {
  const rope = config.object('rope_parameters') ?? config.object('rope_scaling');
  const theta = rope?.has('rope_theta')
    ? rope.real('rope_theta', ranges.theta)
    : config.real('rope_theta', ranges.theta, defaultTheta);
  const dims = rotatedDims(config, rope, head);
  return ropeFrequencies(dims, theta, rope ? readScaling(config, rope) : { type: 'default' });
}

function rotatedDims(config: ConfigReader, rope: ConfigReader | undefined, head: number): number {
  const share = { min: 0, max: 1 };
  const at = rope?.has('partial_rotary_factor') ? rope : config;
  const dims = Math.trunc(head * at.real('partial_rotary_factor', share, 1));
  if (dims < 2 || dims % 2 !== 0) {
    if (at.has('partial_rotary_factor'))
      at.reject('partial_rotary_factor', 'an even number of dims');
    config.reject('head_dim', 'an even number, for its dimensions rotate in pairs');
  }
  return dims;
}

function readScaling(config: ConfigReader, rope: ConfigReader): RopeScaling {
  const spelling = rope.has('rope_type') ? 'rope_type' : 'type';
  const type = rope.choice(spelling, ['default', 'linear', 'llama3', 'yarn'], 'default');
  const original = (): number =>
    rope.has('original_max_position_embeddings')
      ? rope.int('original_max_position_embeddings', ranges.context)
      : config.int('max_position_embeddings', ranges.context);
  switch (type) {
    case 'default':
      return { type };
    case 'linear':
      return { type, factor: rope.real('factor', ranges.factor) };
    case 'llama3':
      return {
        type,
        factor: rope.real('factor', ranges.factor),
        lowFrequencyFactor: rope.real('low_freq_factor', ranges.factor),
        highFrequencyFactor: rope.real('high_freq_factor', ranges.factor),
        original: original(),
      };
    case 'yarn': {
      const factor = rope.real('factor', ranges.factor);
      const attentionFactor = readMagnitude(rope, factor);
      return {
        type,
        factor,
        original: original(),
        betaFast: rope.real('beta_fast', ranges.factor, 32),
        betaSlow: rope.real('beta_slow', ranges.factor, 1),
        truncate: rope.bool('truncate', true),
        ...(attentionFactor === undefined ? {} : { attentionFactor }),
      };
    }
  }
}

/** yarn's factor on cos and sin where the config says it: itself, or a ratio of two magnitudes. */
function readMagnitude(rope: ConfigReader, factor: number): number | undefined {
  if (rope.has('attention_factor')) return rope.real('attention_factor', ranges.factor);
  if (!rope.has('mscale') || !rope.has('mscale_all_dim')) return undefined;
  // A zero here means "not given", as the reference implementation reads it.
  const range = { min: 0, max: 1e6 };
  const [above, below] = [rope.real('mscale', range), rope.real('mscale_all_dim', range)];
  if (above === 0 || below === 0) return undefined;
  return yarnMagnitude(factor, above) / yarnMagnitude(factor, below);
}
