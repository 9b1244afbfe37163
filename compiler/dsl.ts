/** The tags that users write templates with, and what binds a template to its parameters. */
import { type Hole, type Template, makeTemplate } from './1-syntax/template.ts';

/** A block: a typed function of tensors. It is read when a model that uses it is compiled. */
export function block(strings: TemplateStringsArray, ...holes: readonly Hole[]): Template {
  return makeTemplate('block', strings, holes, new Error().stack, 1);
}

/** A model: the block that maps token ids, i32 [t], to logits, [t, vocab]. */
export function model(strings: TemplateStringsArray, ...holes: readonly Hole[]): Template {
  return makeTemplate('model', strings, holes, new Error().stack, 1);
}

export interface ModelOptions {
  /** Values of the model's parameters. */
  readonly params?: Readonly<Record<string, Hole>>;
  /** Folder of the checkpoint: safetensors, tokenizer, config. */
  readonly checkpoint?: URL | string;
  /** Positions the model was made for. */
  readonly context?: number;
  /** Token that begins a text, and those that end one. */
  readonly bos?: number;
  readonly eos?: readonly number[];
}

/** A model with its parameters: what a model file exports and `compile` takes. */
export interface BoundModel extends ModelOptions {
  readonly template: Template;
}

export const bind = (template: Template, options: ModelOptions = {}): BoundModel => ({
  ...options,
  template,
});
