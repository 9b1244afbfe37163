import { describe, expect, test } from 'vitest';
import { ropeFrequencies } from '../stdlib/attention/frequencies.ts';
import { readConfig } from '../stdlib/families/config.ts';
import { readRope } from '../stdlib/families/rope.ts';

/** Seven significant digits, as the published values are given. */
const digits = (value: number | undefined): string => (value ?? NaN).toExponential(6);

describe('RoPE frequencies', () => {
  test('unscaled: theta ^ (-2i/n)', () => {
    const { frequencies, scale } = ropeFrequencies(4, 100, { type: 'default' });
    expect(frequencies).toEqual([1, 0.1]);
    expect(scale).toBe(1);
  });

  test('linear: every frequency divided', () => {
    expect(ropeFrequencies(4, 100, { type: 'linear', factor: 4 }).frequencies).toEqual([
      0.25, 0.025,
    ]);
  });

  test('llama3 at Llama-3.2-1B: up to 14 kept, 15 to 17 blended, from 18 divided', () => {
    const { frequencies } = ropeFrequencies(64, 5e5, {
      type: 'llama3',
      factor: 32,
      lowFrequencyFactor: 1,
      highFrequencyFactor: 4,
      original: 8192,
    });
    const plain = ropeFrequencies(64, 5e5, { type: 'default' }).frequencies;
    expect(frequencies.slice(0, 15)).toEqual(plain.slice(0, 15));
    expect(frequencies.slice(15, 18).map(digits)).toEqual([
      '1.290548e-3',
      '4.295568e-4',
      '9.708288e-5',
    ]);
    expect(frequencies.slice(18)).toEqual(plain.slice(18).map((f) => f / 32));
    expect(digits(frequencies[31])).toBe('9.418307e-8');
  });

  test('llama3 at Llama-3.1-8B: 29 to 34 blended', () => {
    const { frequencies } = ropeFrequencies(128, 5e5, {
      type: 'llama3',
      factor: 8,
      lowFrequencyFactor: 1,
      highFrequencyFactor: 4,
      original: 8192,
    });
    const plain = ropeFrequencies(128, 5e5, { type: 'default' }).frequencies;
    expect(frequencies[28]).toBe(plain[28]);
    expect(frequencies[35]).toBe((plain[35] ?? NaN) / 8);
    expect([29, 34].map((i) => digits(frequencies[i]))).toEqual(['2.166571e-3', '1.785078e-4']);
  });

  test('yarn without rounding, as gpt-oss has it', () => {
    const { frequencies, scale } = ropeFrequencies(64, 150000, {
      type: 'yarn',
      factor: 32,
      original: 4096,
      betaFast: 32,
      betaSlow: 1,
      truncate: false,
    });
    expect(scale).toBeCloseTo(1.3465736, 7);
    expect([10, 15].map((i) => digits(frequencies[i]))).toEqual(['1.933500e-2', '1.052602e-3']);
  });

  test('yarn with rounding and both magnitudes, as DeepSeek-V3 writes it', () => {
    const config = readConfig({
      rope_theta: 10000,
      max_position_embeddings: 163840,
      rope_scaling: {
        type: 'yarn',
        factor: 40,
        original_max_position_embeddings: 4096,
        beta_fast: 32,
        beta_slow: 1,
        mscale: 1.0,
        mscale_all_dim: 1.0,
      },
    });
    const { frequencies, scale } = readRope(config, 64);
    expect(scale).toBe(1);
    expect([15, 20].map((i) => digits(frequencies[i]))).toEqual(['8.334509e-3', '7.905694e-4']);
  });
});

describe('RoPE in a config', () => {
  test('both spellings mean the same', () => {
    const scaling = {
      factor: 8,
      low_freq_factor: 1,
      high_freq_factor: 4,
      original_max_position_embeddings: 64,
    };
    const nested = { rope_parameters: { rope_type: 'llama3', rope_theta: 5e5, ...scaling } };
    const flat = { rope_theta: 5e5, rope_scaling: { type: 'llama3', ...scaling } };
    const read = (json: unknown) => readRope(readConfig(json), 64);
    expect(read(nested)).toEqual(read(flat));
    expect(read(nested)).not.toEqual(read({ rope_theta: 5e5 }));
  });

  test('a null rope_scaling is none', () => {
    expect(readRope(readConfig({ rope_theta: 100, rope_scaling: null }), 4).frequencies).toEqual([
      1, 0.1,
    ]);
  });

  test('partial rotation rotates the leading part of a head', () => {
    const { frequencies } = readRope(
      readConfig({ rope_theta: 100, partial_rotary_factor: 0.25 }),
      16,
    );
    expect(frequencies).toEqual([1, 0.1]);
  });

  test.each([
    [{ rope_scaling: { type: 'spiral' } }, /rope_scaling.type is "spiral".*linear, llama3, yarn/],
    [{ rope_scaling: { type: 'linear', factor: -2 } }, /rope_scaling.factor is -2/],
    [{ rope_scaling: { type: 'linear' } }, /rope_scaling.factor is missing/],
    [{ rope_scaling: [1] }, /rope_scaling is \[1\]: expected an object/],
    [{ rope_theta: '1e6' }, /rope_theta is "1e6": expected a number/],
    [{ partial_rotary_factor: 0.01 }, /partial_rotary_factor is 0.01/],
  ])('%j is refused by name', (json, message) => {
    expect(() => readRope(readConfig(json), 16)).toThrow(message);
  });
});
