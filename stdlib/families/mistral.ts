import { bind } from '../../compiler/index.ts';
import { type ConfigReader, ranges } from './config.ts';
import { decoder } from './decoder.ts';
import { type Family, readConventions, readKvHeads, readSizes, readWindows } from './family.ts';
import { readRope } from './rope.ts';

/** Mistral 7B and its kin: a sliding window in every layer unless `sliding_window` is null. */
export const mistral: Family = {
  name: 'mistral',
  modelTypes: ['mistral'],
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
      windows: readWindows(config, sizes.depth, () => config.has('sliding_window')),
    };
    return bind(decoder, { params, ...readConventions(config, sizes.vocab) });
  },
};
