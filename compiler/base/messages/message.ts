/** The form of an entry of the catalogue. */

export interface Message<P> {
  text(params: P): string;
  readonly help?: string;
  /** A warning does not keep a model from being compiled, and can be silenced. */
  readonly severity?: 'warning';
  /** Left out beside mistakes, which may well be its cause. */
  readonly minor?: true;
}

export const message = <P>(text: (params: P) => string, help?: string): Message<P> =>
  help === undefined ? { text } : { text, help };

export const warning = <P>(text: (params: P) => string, help?: string): Message<P> => ({
  ...message(text, help),
  severity: 'warning',
});

export const near = (nearest: string | undefined): string =>
  nearest === undefined ? '' : `; did you mean ${nearest}?`;

export interface Named {
  readonly name: string;
}

export interface Unknown extends Named {
  readonly nearest: string | undefined;
}
