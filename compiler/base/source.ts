/** Source text of a template, and places in it. Lines and columns are computed only when rendering. */

/** A template's text as written, with the character U+E000 for each hole. */
export interface Source {
  /** The user's file, or a name for text that has none. */
  readonly file: string;
  readonly text: string;
  /** Line and column (from 1) in the file where the text begins. */
  readonly line: number;
  readonly column: number;
}

/** A range of offsets into the text; `end` is exclusive. */
export interface Span {
  readonly source: Source;
  readonly start: number;
  readonly end: number;
}

export const isSpan = (v: unknown): v is Span =>
  typeof v === 'object' && v !== null && 'source' in v && 'start' in v && 'end' in v;

/** The text's first word, which mistakes of the whole point at. */
export function titleOf(source: Source): Span {
  const start = Math.max(0, source.text.search(/\S/));
  const word = /^\w+/.exec(source.text.slice(start))?.[0] ?? ' ';
  return { source, start, end: start + word.length };
}

export const joinSpans = (a: Span, b: Span): Span => ({
  source: a.source,
  start: Math.min(a.start, b.start),
  end: Math.max(a.end, b.end),
});

/** Line and column in the user's file, from 1. */
export function placeOf(source: Source, offset: number): { line: number; column: number } {
  const before = source.text.slice(0, offset);
  const lines = before.split('\n');
  const column = (lines.at(-1) ?? '').length;
  return {
    line: source.line + lines.length - 1,
    column: lines.length === 1 ? source.column + column : column + 1,
  };
}

/** The file, line and column of the caller `depth` frames up, from a stack trace. */
export function callSite(stack: string | undefined, depth: number): Omit<Source, 'text'> {
  const frames = (stack ?? '').split('\n').filter((l) => /:\d+:\d+\)?$/.test(l));
  const match = /(?:\(|at |@)?(?:async )?([^()\s@]+?):(\d+):(\d+)\)?$/.exec(frames[depth] ?? '');
  if (!match) return { file: '<template>', line: 1, column: 1 };
  const [, file = '<template>', line = '1', column = '1'] = match;
  return { file: file.replace(/^file:\/\//, ''), line: Number(line), column: Number(column) };
}
