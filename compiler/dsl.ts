/** The tags that users write templates with. */
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
