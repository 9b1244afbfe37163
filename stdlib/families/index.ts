import type { BoundModel } from '../../compiler/index.ts';
import { readConfig } from './config.ts';
import { deepseek } from './deepseek.ts';
import type { Family } from './family.ts';
import { llama } from './llama.ts';
import { mistral } from './mistral.ts';
import { mixtral } from './mixtral.ts';
import { qwen2 } from './qwen2.ts';
import { qwen3 } from './qwen3.ts';
import { qwen3Moe } from './qwen3-moe.ts';
import { smallthinker } from './smallthinker.ts';
import { step3 } from './step3.ts';

export const families: readonly Family[] = [
  llama,
  mistral,
  qwen2,
  qwen3,
  mixtral,
  qwen3Moe,
  step3,
  smallthinker,
  deepseek,
];

/** The model that a parsed `config.json` describes; `file` is its name. Throws ConfigError. */
export function modelOf(json: unknown, file = 'config.json'): BoundModel {
  const config = readConfig(json, file);
  const types = families.flatMap((family) => family.modelTypes);
  const type = config.choice('model_type', types);
  const family = families.find((f) => f.modelTypes.includes(type));
  return family ? family.build(config) : config.reject('model_type', 'a known family');
}

/** The model with the end tokens of a `generation_config.json`, which outrank the config's. */
export function withGeneration(bound: BoundModel, json: unknown): BoundModel {
  const config = readConfig(json);
  const vocab = bound.params?.['vocab'];
  if (!config.has('eos_token_id') || typeof vocab !== 'number') return bound;
  // A copy has the methods alone; `with` makes a model of it.
  return { ...bound, eos: config.idsOf('eos_token_id', vocab) }.with();
}
