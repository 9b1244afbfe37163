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

/** Qwen 2 and 2.5: biases on q, k and v only; windows in the upper layers where switched on. */
export const qwen2: Family = {
  name: 'qwen2',
  modelTypes: ['qwen2'],
  build(config: ConfigReader) {
    config.choice('hidden_act', ['silu'], 'silu');
    const sizes = readSizes(config);
    const rope = readRope(config, sizes.head);
    const params = {
      ...sizes,
      inner: config.int('intermediate_size', ranges.width),
      kv_heads: readKvHeads(config, sizes.heads),
      frequencies: rope.frequencies,
      rope_scale: rope.scale,
      windows: readUpperWindows(config, sizes.depth),
      bias: true,
    };
    return bind(decoder, { params, ...readConventions(config, sizes.vocab) });
  },
};
