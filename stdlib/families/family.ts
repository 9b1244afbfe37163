import type { BoundModel } from '../../compiler/index.ts';
import { type ConfigReader, ranges } from './config.ts';

/** A model family: what a checkpoint's `model_type` says, and the model that its config describes. */
export interface Family {
  readonly name: string;
  readonly modelTypes: readonly string[];
  /** Throws ConfigError where a field is missing, of another kind or out of range. */
  build(config: ConfigReader): BoundModel;
}

/** Sizes that every decoder has. */
export interface Sizes {
  readonly vocab: number;
  readonly width: number;
  readonly depth: number;
  readonly heads: number;
  /** Dimensions of a head. */
  readonly head: number;
  readonly eps: number;
  readonly tied: boolean;
}

export function readSizes(config: ConfigReader, defaultEps = 1e-6): Sizes {
  const width = config.int('hidden_size', ranges.width);
  const heads = config.int('num_attention_heads', ranges.heads);
  if (!config.has('head_dim') && width % heads !== 0) {
    config.reject('num_attention_heads', `a divisor of hidden_size, ${width}, or a head_dim`);
  }
  return {
    vocab: config.int('vocab_size', ranges.vocab),
    width,
    depth: config.int('num_hidden_layers', ranges.depth),
    heads,
    head: config.int('head_dim', ranges.head, width / heads),
    eps: config.real('rms_norm_eps', ranges.eps, defaultEps),
    tied: config.bool('tie_word_embeddings', false),
  };
}

/** Key/value heads; a divisor of the query heads. */
export function readKvHeads(config: ConfigReader, heads: number): number {
  const kvHeads = config.int('num_key_value_heads', ranges.heads, heads);
  if (heads % kvHeads !== 0) {
    config.reject('num_key_value_heads', `a divisor of num_attention_heads, ${heads}`);
  }
  return kvHeads;
}

/** What a runtime wants to know beside the mathematics: `context`, `bos` and `eos` where given. */
export interface Conventions {
  readonly context?: number;
  readonly bos?: number;
  readonly eos: readonly number[];
}

export function readConventions(config: ConfigReader, vocab: number): Conventions {
  const [bos] = config.idsOf('bos_token_id', vocab);
  const context = config.has('max_position_embeddings')
    ? config.int('max_position_embeddings', ranges.context)
    : undefined;
  return {
    eos: config.idsOf('eos_token_id', vocab),
    ...(bos === undefined ? {} : { bos }),
    ...(context === undefined ? {} : { context }),
  };
}

/**
 * Window of each layer, 0 for full attention: from `layer_types` where present, else `windowed` of
 * the layer's number decides.
 */
export function readWindows(
  config: ConfigReader,
  depth: number,
  windowed: (layer: number) => boolean,
): readonly number[] {
  const kinds = ['full_attention', 'sliding_attention'];
  const types = config.has('layer_types') ? config.texts('layer_types', depth) : undefined;
  if (types && !types.every((type) => kinds.includes(type))) {
    config.reject('layer_types', `a list of ${kinds.join(' and ')}`);
  }
  return Array.from({ length: depth }, (_, layer) => {
    const slides = types ? types[layer] === 'sliding_attention' : windowed(layer);
    return slides ? config.int('sliding_window', ranges.window) : 0;
  });
}

/** Windows in the layers from `max_window_layers` on, where `use_sliding_window` switches them on. */
export function readUpperWindows(config: ConfigReader, depth: number): readonly number[] {
  const on = config.bool('use_sliding_window', false) && config.has('sliding_window');
  const layers = { min: 0, max: ranges.depth.max };
  const first = on ? config.int('max_window_layers', layers, 28) : depth;
  return readWindows(config, depth, (layer) => layer >= first);
}
