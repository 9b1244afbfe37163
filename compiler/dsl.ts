/** The tags that users write templates with, and what binds a template to its parameters. */
import {
  type Hole,
  type Params,
  type SheetKind,
  type SheetSource,
  type Template,
  sourceOf,
} from './1-syntax/template.ts';

/**
 * A block: a typed function of tensors. It is read when a model that uses it is compiled. `P` types
 * its parameters; `cograph check` holds it against the text.
 */
export function block<P = Params>(
  strings: TemplateStringsArray,
  ...holes: readonly Hole[]
): Template<P> {
  return { kind: 'block', source: sourceOf('block', strings, new Error().stack, 1), holes };
}

/** A model: the block that maps token ids, i32 [t], to logits, [t, vocab]. `P` as for a block. */
export function model<P = Params>(
  strings: TemplateStringsArray,
  ...holes: readonly Hole[]
): Template<P> {
  return { kind: 'model', source: sourceOf('model', strings, new Error().stack, 1), holes };
}

/** How precise each part is: weights, activations and KV. `selector { property: value }` rules. */
export function precision(
  strings: TemplateStringsArray,
  ...holes: readonly unknown[]
): SheetSource {
  return sheet('precision', strings, holes, new Error().stack);
}

/** Which hardware group holds each part. */
export function place(strings: TemplateStringsArray, ...holes: readonly unknown[]): SheetSource {
  return sheet('place', strings, holes, new Error().stack);
}

/** How decoding proceeds: KV, expert residency, prefetch, speculation, parallel paths. */
export function decode(strings: TemplateStringsArray, ...holes: readonly unknown[]): SheetSource {
  return sheet('decode', strings, holes, new Error().stack);
}

const sheet = (
  kind: SheetKind,
  strings: TemplateStringsArray,
  holes: readonly unknown[],
  stack: string | undefined,
): SheetSource => ({ kind, source: sourceOf(kind, strings, stack, 1), holes });

/** No parameters at all: what types without a required one may be. */
type Empty = Readonly<Record<never, never>>;

/** Parameters may be left out where none must be given. */
type Given<P> = unknown extends P
  ? { readonly params?: Params }
  : Empty extends P
    ? { readonly params?: P }
    : { readonly params: P };

/** How a model is bound, with values of its parameters as its type argument has them. */
export type ModelOptions<P = Params> = Conventions & Given<P>;

export interface Conventions {
  /** Folder of the checkpoint: safetensors, tokenizer, config. */
  readonly checkpoint?: URL | string;
  /** Positions the model was made for. */
  readonly context?: number;
  /** Token that begins a text, and those that end one. */
  readonly bos?: number;
  readonly eos?: readonly number[];
  /** Sheets in order: of rules with equal weight a later sheet's wins. */
  readonly sheets?: readonly SheetSource[];
}

/** A model with its parameters: what a model file exports and `compile` takes. */
export interface BoundModel extends Conventions {
  readonly template: Template;
  /** Values of the model's parameters. */
  readonly params?: Params;
  readonly sheets: readonly SheetSource[];
  /** The model with these sheets behind its own. */
  with(this: BoundModel, ...sheets: readonly SheetSource[]): BoundModel;
}

export function bind<P = Params>(
  template: Template<P>,
  ...[options]: Empty extends P ? [NoInfer<ModelOptions<P>>?] : [NoInfer<ModelOptions<P>>]
): BoundModel {
  return {
    // The parameters are held against the text when the model is checked: no type needs to stay.
    ...(options as ModelOptions | undefined),
    template,
    sheets: options?.sheets ?? [],
    with(...more) {
      return { ...this, sheets: [...this.sheets, ...more] };
    },
  };
}
