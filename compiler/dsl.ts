/** The door of the language: the template tags, and a model bound to its parameters. */
import { type Hole, type Template, makeTemplate } from './1-syntax/template.ts';

/** A block: a typed function of tensors with parameters, weights and instances of other blocks. */
export const block = (strings: TemplateStringsArray, ...holes: readonly Hole[]): Template =>
  makeTemplate('block', strings, holes, new Error().stack, 1);

/** A model: the block that maps token ids to logits. */
export const model = (strings: TemplateStringsArray, ...holes: readonly Hole[]): Template =>
  makeTemplate('model', strings, holes, new Error().stack, 1);

/** What a model is bound to: values of its parameters, its weights, and conventions of its tokens. */
export interface Binding {
  readonly params?: Readonly<Record<string, Hole>>;
  /** A folder or file of weights in a published format. */
  readonly checkpoint?: URL | string;
  /** A tokenizer's folder or file, where it does not lie beside the weights. */
  readonly tokenizer?: URL | string;
  /** Positions that the model was made for. */
  readonly context?: number;
  /** Ids of the tokens that begin a text and that end one. */
  readonly bos?: number;
  readonly eos?: readonly number[];
}

/** What a model file exports by default, and what a family makes of a config. */
export interface BoundModel extends Binding {
  readonly kind: 'bound-model';
  readonly template: Template;
  readonly params: Readonly<Record<string, Hole>>;
  readonly eos: readonly number[];
}

/** Nothing is checked before the model is compiled. */
export const bind = (template: Template, binding: Binding = {}): BoundModel => ({
  ...binding,
  kind: 'bound-model',
  template,
  params: binding.params ?? {},
  eos: binding.eos ?? [],
});
