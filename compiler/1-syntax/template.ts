/** Tagged templates as values: text, holes and where they stand; parsed when first used. */
import { type Source, callSite } from '../base/source.ts';

/** What `${...}` may hold. */
export type Hole = number | boolean | string | Template | readonly Hole[];

export interface Template {
  readonly kind: 'block' | 'model';
  readonly source: Source;
  readonly holes: readonly Hole[];
}

/** Stands for a hole in the text. */
export const holeMark = '\uE000';

/** `depth`: frames between this function and the user's call. */
export function makeTemplate(
  kind: Template['kind'],
  strings: TemplateStringsArray,
  holes: readonly Hole[],
  stack: string | undefined,
  depth: number,
): Template {
  const site = callSite(stack, depth);
  // The text begins after the tag and the backtick, which stands right behind the call site's name.
  const column = site.column + kind.length + 1;
  return { kind, source: { ...site, column, text: strings.raw.join(holeMark) }, holes };
}

export const isTemplate = (h: unknown): h is Template =>
  typeof h === 'object' && h !== null && 'kind' in h && 'source' in h && 'holes' in h;
