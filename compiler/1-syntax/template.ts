/** Tagged templates as values: text, holes and where they stand; parsed when first used. */
import { type Source, callSite } from '../base/source.ts';

/** What `${...}` may hold. */
export type Hole = number | boolean | string | Template | readonly Hole[];

/** What a hole holds whose value is known only when the file that has it runs. */
export const openHole: unknown = Object.freeze({ kind: 'open' });

/** Values of a template's parameters, where no type says which it has. */
export type Params = Readonly<Record<string, Hole>>;

/** Which sheet a text is: how precise, on what, and how decoding proceeds. */
export const sheetKinds = ['precision', 'place', 'decode'] as const;
export type SheetKind = (typeof sheetKinds)[number];
export const isSheetKind = (kind: string): kind is SheetKind => sheetKinds.some((k) => k === kind);

/** A sheet's text; its holes may hold schemes, policies and hardware too. */
export interface SheetSource {
  readonly kind: SheetKind;
  readonly source: Source;
  readonly holes: readonly unknown[];
}

declare const parameters: unique symbol;

/** `P`: its parameters, where the tag was given their type: `model<{ vocab: number }>`. */
export interface Template<P = unknown> {
  readonly kind: 'block' | 'model';
  readonly source: Source;
  readonly holes: readonly Hole[];
  /** Never there: it carries the type. */
  readonly [parameters]?: P;
}

/** Stands for a hole in the text. */
export const holeMark = '\uE000';

/** `depth`: frames between this function and the user's call. */
export function sourceOf(
  tag: string,
  strings: TemplateStringsArray,
  stack: string | undefined,
  depth: number,
): Source {
  const site = callSite(stack, depth);
  // The text begins after the tag and the backtick, which stands right behind the call site's name.
  const column = site.column + tag.length + 1;
  return { ...site, column, text: strings.raw.join(holeMark) };
}

const isObject = (v: unknown): v is object => typeof v === 'object' && v !== null;

/** JavaScript may put anything into a hole, things much like a template too. */
const hasSource = (h: unknown): h is { readonly kind: unknown } =>
  isObject(h) &&
  'kind' in h &&
  'source' in h &&
  'holes' in h &&
  isObject(h.source) &&
  'text' in h.source &&
  typeof h.source.text === 'string' &&
  Array.isArray(h.holes);

export const isTemplate = (h: unknown): h is Template =>
  hasSource(h) && (h.kind === 'block' || h.kind === 'model');

export const isSheet = (h: unknown): h is SheetSource =>
  hasSource(h) && sheetKinds.some((k) => k === h.kind);
