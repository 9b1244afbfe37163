/** Braces that do not match: the layout of the text says which one is missing or too many. */
import { type IToken, createTokenInstance } from 'chevrotain';
import type { Log } from '../base/diagnostic.ts';
import type { Source, Span } from '../base/source.ts';
import * as T from './tokens.ts';

export interface Mended {
  /** Every `{` has its `}`. */
  readonly tokens: readonly IToken[];
  /** Reports the first brace that was put in or left out; undefined where all matched. */
  readonly mistake: ((log: Log) => void) | undefined;
  /** The mistake is a brace that is missing at its end. */
  readonly missing: boolean;
}

interface Open {
  readonly token: IToken;
  /** Column of the first token of the line that the brace stands in. */
  readonly indent: number;
}

const is = (token: IToken, type: { readonly name: string }): boolean =>
  token.tokenType.name === type.name;

const columnOf = (t: IToken): number => t.startColumn ?? 1;

export function mendBraces(tokens: readonly IToken[], source: Source): Mended {
  const depth = tokens.reduce(
    (n, t) => n + (is(t, T.LeftBrace) ? 1 : is(t, T.RightBrace) ? -1 : 0),
    0,
  );
  if (depth === 0) return { tokens, mistake: undefined, missing: false };
  return depth > 0 ? putIn(tokens, source, depth) : leaveOut(tokens, source);
}

/** Closes blocks where a line begins left of what their body's would. */
function putIn(tokens: readonly IToken[], source: Source, depth: number): Mended {
  const out: IToken[] = [];
  const opens: Open[] = [];
  let left = depth;
  let mistake: Mended['mistake'];
  let indent = 1;
  const close = (): void => {
    const open = opens.pop();
    const last = out.at(-1);
    if (!open || !last) return;
    const end = last.endOffset ?? last.startOffset;
    out.push(createTokenInstance(T.RightBrace, '}', end, end, 0, 0, 0, 0));
    mistake ??= (log) => {
      log.report('syntax/unclosed', { what: '{' }, [
        { span: { source, start: end, end: end + 1 }, text: 'expected } here' },
        { span: spanOf(source, open.token), text: 'this { has no }' },
      ]);
    };
  };
  for (const [k, token] of tokens.entries()) {
    if (beginsLine(tokens, k)) {
      indent = columnOf(token);
      const closes = is(token, T.RightBrace) || is(token, T.Else);
      for (let top = opens.at(-1); left > 0 && top && opens.length > 1; top = opens.at(-1)) {
        if (closes ? indent >= top.indent : indent > top.indent) break;
        left--;
        close();
      }
    }
    if (is(token, T.LeftBrace)) opens.push({ token, indent });
    if (is(token, T.RightBrace)) opens.pop();
    out.push(token);
  }
  while (opens.length > 0) close();
  return { tokens: out, mistake, missing: true };
}

/** Leaves out a brace that stands where none would, or that closes nothing. */
function leaveOut(tokens: readonly IToken[], source: Source): Mended {
  const opens: Open[] = [];
  let indent = 1;
  let odd: number | undefined;
  let under: number | undefined;
  for (const [k, token] of tokens.entries()) {
    const first = beginsLine(tokens, k);
    if (first) indent = columnOf(token);
    if (is(token, T.LeftBrace)) opens.push({ token, indent });
    if (!is(token, T.RightBrace)) continue;
    const open = opens.pop();
    if (!open) under ??= k;
    else if (open.token.startLine !== token.startLine && (!first || indent !== open.indent)) {
      odd ??= k;
    }
  }
  const at = odd ?? under;
  const expected = odd === undefined ? 'the end of the template' : 'a statement or a { before it';
  const token = at === undefined ? undefined : tokens[at];
  if (!token) return { tokens, mistake: undefined, missing: false };
  const rest = mendBraces(
    tokens.filter((t) => t !== token),
    source,
  );
  return {
    tokens: rest.tokens,
    missing: false,
    mistake: (log) => {
      log.report('syntax/unexpected', { found: '}', expected }, [
        { span: spanOf(source, token), text: 'this } closes nothing' },
      ]);
    },
  };
}

/** Whether a token is the first of its line. */
export function beginsLine(tokens: readonly IToken[], k: number): boolean {
  const before = tokens[k - 1];
  return !before || (before.endLine ?? 0) < (tokens[k]?.startLine ?? 0);
}

export const spanOf = (source: Source, t: IToken): Span => ({
  source,
  start: t.startOffset,
  end: (t.endOffset ?? t.startOffset) + 1,
});
