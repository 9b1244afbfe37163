import { bind } from '../../compiler/index.ts';
import { type ConfigReader, ranges } from './config.ts';
import { decoder } from './decoder.ts';
import { type Family, readConventions, readKvHeads, readSizes, readWindows } from './family.ts';
import { readRope } from './rope.ts';

/** Llama 2 and 3: full attention unless `layer_types` says else, llama3 or linear RoPE scaling, biases where the config asks. */
export const llama: Family = {
  name: 'llama',
  modelTypes: ['llama'],
  build(config: ConfigReader) {
    config.choice('hidden_act', ['silu'], 'silu');
    const sizes = readSizes(config);
    const rope = readRope(config, sizes.head);
    const bias = config.bool('attention_bias', false);
    const params = {
      ...sizes,
      inner: config.int('intermediate_size', ranges.width),
      kv_heads: readKvHeads(config, sizes.heads),
      frequencies: rope.frequencies,
      rope_scale: rope.scale,
      windows: readWindows(config, sizes.depth, () => false),
      bias,
      out_bias: bias,
      mlp_bias: config.bool('mlp_bias', false),
    };
    return bind(decoder, { params, ...readConventions(config, sizes.vocab) });
  },
};
