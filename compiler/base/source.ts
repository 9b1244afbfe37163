/** Source text of a template, and places in it. Lines and columns are computed only when rendering. */

/** A template's text as written, with one private-use character for each hole. */
export interface Source {
  /** The user's file, or a name for text that has none. */
  readonly file: string;
  readonly text: string;
  /** Line and column (from 1) in the file where the text begins. */
  readonly line: number;
  readonly column: number;
}

/** A range of offsets into the text; end is exclusive. */
export interface Span {
  readonly source: Source;
  readonly start: number;
  readonly end: number;
}
