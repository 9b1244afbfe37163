import { describe, expect, test } from 'vitest';
import { ConfigError } from '../compiler/index.ts';
import { readConfig } from '../stdlib/families/config.ts';
import { families, modelOf } from '../stdlib/families/index.ts';
import { fixture, goldenNames, readJson } from './helpers/golden.ts';

const configOf = (golden: string): Record<string, unknown> =>
  readJson(fixture(`goldens/${golden}/config.json`)) as Record<string, unknown>;

describe('a family reads its config', () => {
  test.each(goldenNames)('%s', (name) => {
    const model = modelOf(configOf(name));
    expect(model.context).toBe(256);
    expect(model.bos).toBe(0);
    expect(model.eos).toEqual([1]);
  });

  test('no two families claim a model_type', () => {
    const types = families.flatMap((family) => family.modelTypes);
    expect(new Set(types).size).toBe(types.length);
  });

  test('an unknown model_type is refused with the known ones', () => {
    expect(() => modelOf({ model_type: 'mamba' })).toThrow(
      /model_type is "mamba": expected one of llama, mistral/,
    );
  });

  test('end tokens may be one, several or none', () => {
    const eos = (value: unknown) => modelOf({ ...configOf('llama'), eos_token_id: value }).eos;
    expect(eos([3, 4])).toEqual([3, 4]);
    expect(eos(null)).toEqual([]);
    expect(() => eos(320)).toThrow(/eos_token_id is 320: expected a token id below 320/);
  });

  test('a window that is switched off is none; one that is on starts at its layer', () => {
    const windows = (extra: object) =>
      modelOf({ ...configOf('qwen2'), layer_types: undefined, ...extra }).params?.['windows'];
    expect(windows({ sliding_window: 8 })).toEqual([0, 0, 0]);
    expect(windows({ sliding_window: 8, use_sliding_window: true, max_window_layers: 1 })).toEqual([
      0, 8, 8,
    ]);
  });

  test('layer_types decides the windows where present', () => {
    const layer_types = ['sliding_attention', 'full_attention', 'sliding_attention'];
    const model = modelOf({ ...configOf('qwen3'), layer_types, sliding_window: 4 });
    expect(model.params?.['windows']).toEqual([4, 0, 4]);
  });
});

describe('a bad config is a ConfigError that names the field and what it accepts', () => {
  test.each([
    ['llama', { hidden_size: -64 }, /hidden_size is -64: expected an integer from 1 to/],
    ['llama', { hidden_size: 1e12 }, /hidden_size is 1000000000000: expected an integer from 1/],
    ['llama', { hidden_size: 64.5 }, /hidden_size is 64.5: expected an integer/],
    ['llama', { hidden_size: '64' }, /hidden_size is "64": expected an integer/],
    ['llama', { vocab_size: undefined }, /vocab_size is missing: expected an integer/],
    ['llama', { num_hidden_layers: 0 }, /num_hidden_layers is 0: expected an integer from 1/],
    ['llama', { num_key_value_heads: 3 }, /num_key_value_heads is 3: expected a divisor of.* 4/],
    ['llama', { head_dim: undefined, hidden_size: 66 }, /num_attention_heads is 4: expected a div/],
    ['llama', { head_dim: 15 }, /head_dim is 15: expected an even number/],
    ['llama', { hidden_act: 'gelu' }, /hidden_act is "gelu": expected one of silu/],
    ['llama', { rms_norm_eps: -1 }, /rms_norm_eps is -1: expected a number from 0/],
    ['llama', { attention_bias: 'no' }, /attention_bias is "no": expected true or false/],
    ['mistral_swa', { sliding_window: 0 }, /sliding_window is 0: expected an integer from 1/],
    ['qwen3', { layer_types: ['full_attention'] }, /layer_types is .*: expected a list of 3/],
    ['qwen3', { layer_types: ['a', 'b', 'c'] }, /layer_types is .*sliding_attention/],
    ['step3', { moe_top_k: 9 }, /moe_top_k is 9: expected an integer from 1 to 8/],
    ['step3', { moe_layers_enum: '1,x' }, /moe_layers_enum is "1,x": expected numbers of layers/],
    ['step3', { moe_layers_enum: '1,4' }, /moe_layers_enum is "1,4"/],
    ['smallthinker_21b', { rope_layout: [0, 1] }, /rope_layout is \[0,1\]: expected a list of 4/],
    ['smallthinker_21b', { moe_primary_router_apply_softmax: 1 }, /expected true or false/],
  ])('%s with %j', (golden, change, message) => {
    const build = () => modelOf({ ...configOf(golden), ...change });
    expect(build).toThrow(ConfigError);
    expect(build).toThrow(message);
  });

  test.each([[null], [[]], ['text'], [7]])('%j is no config', (json) => {
    expect(() => readConfig(json)).toThrow(ConfigError);
  });
});
