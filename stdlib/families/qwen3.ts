import { bind } from '../../compiler/index.ts';
import { type ConfigReader, ranges } from './config.ts';
import { decoder } from './decoder.ts';
import {
  type Family,
  readConventions,
  readKvHeads,
  readSizes,
  readUpperWindows,
} from './family.ts';
import { readRope } from './rope.ts';

/** Qwen 3, dense: each head of q and k is normalised before RoPE; heads of 128 unless told. */
export const qwen3: Family = {
  name: 'qwen3',
  modelTypes: ['qwen3'],
  build(config: ConfigReader) {
    config.choice('hidden_act', ['silu'], 'silu');
    const sizes = { ...readSizes(config), head: config.int('head_dim', ranges.head, 128) };
    const rope = readRope(config, sizes.head);
    const bias = config.bool('attention_bias', false);
    const params = {
      ...sizes,
      inner: config.int('intermediate_size', ranges.width),
      kv_heads: readKvHeads(config, sizes.heads),
      frequencies: rope.frequencies,
      rope_scale: rope.scale,
      windows: readUpperWindows(config, sizes.depth),
      bias,
      out_bias: bias,
      head_norm: true,
    };
    return bind(decoder, { params, ...readConventions(config, sizes.vocab) });
  },
};
