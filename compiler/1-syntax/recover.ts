/**
 * What mistakes leave of a text: it is cut into statements by its keywords and its layout, and each
 * is read alone, so that one mistake hides no other.
 */
import type { IRecognitionException, IToken, TokenType } from 'chevrotain';
import { present } from '../base/invariant.ts';
import type { Source } from '../base/source.ts';
import type {
  Name,
  ParamDecl,
  ShapeAst,
  SheetAst,
  StmtAst,
  TemplateAst,
  TensorDecl,
} from './ast.ts';
import { beginsLine, spanOf } from './braces.ts';
import type { Head } from './statements.ts';
import * as T from './tokens.ts';

export type Attempt<T> = { readonly value: T } | { readonly mistake: IRecognitionException };

interface Reading {
  readonly source: Source;
  report(mistake: IRecognitionException, tokens: readonly IToken[]): void;
}

export interface TemplateReading extends Reading {
  head(tokens: readonly IToken[]): Attempt<Head>;
  input(tokens: readonly IToken[]): Attempt<TensorDecl>;
  param(tokens: readonly IToken[]): Attempt<ParamDecl>;
  result(tokens: readonly IToken[]): Attempt<ShapeAst>;
  statement(tokens: readonly IToken[]): Attempt<StmtAst>;
}

export interface SheetReading extends Reading {
  /** One group or rule, as a sheet of its own. */
  item(tokens: readonly IToken[]): Attempt<SheetAst>;
}

const is = (t: IToken | undefined, ...types: readonly TokenType[]): boolean =>
  t !== undefined && types.includes(t.tokenType);

/** Braces match in `tokens`. */
export function recoverTemplate(
  tokens: readonly IToken[],
  reading: TemplateReading,
): TemplateAst | undefined {
  const open = tokens.findIndex((t) => is(t, T.LeftBrace));
  if (open < 0) return undefined;
  const close = closeOf(tokens, open);
  const whole = reading.head(tokens.slice(0, open));
  const head =
    'value' in whole ? whole.value : recoverHead(tokens.slice(0, open), whole.mistake, reading);
  const body = recoverBody(tokens.slice(open + 1, close), reading);
  const rest = tokens.slice(close + 1);
  // Whatever stands behind the body is read as if it were one more statement, for its mistake.
  if (rest.length > 0) {
    const after = reading.head([present(rest[0])]);
    if ('mistake' in after) reading.report(after.mistake, rest);
  }
  if (!head || 'value' in whole) return head && { ...head, body };
  return {
    ...head,
    partial: true,
    body: [lostNames(tokens.slice(0, open), head, reading), ...body],
  };
}

/** What can be read of a first line: its inputs, parameters and results, each alone. */
function recoverHead(
  tokens: readonly IToken[],
  mistake: IRecognitionException,
  reading: TemplateReading,
): Head | undefined {
  const [name, open] = tokens;
  let reported = false;
  const each = <T>(
    parts: readonly (readonly IToken[])[],
    read: (p: readonly IToken[]) => Attempt<T>,
  ): readonly T[] =>
    parts.flatMap((part) => {
      const found = read(part);
      if ('value' in found) return [found.value];
      reading.report(found.mistake, part);
      reported = true;
      return [];
    });
  if (!is(name, T.Identifier) || !is(open, T.LeftParen)) {
    reading.report(mistake, tokens);
    return undefined;
  }
  const [inside = [], outside = []] = splitAt(tokens.slice(2), [T.RightParen]);
  const [inputs = [], params = [], ...others] = splitAt(inside, [T.Semicolon]);
  const arrow = is(outside[0], T.Arrow);
  const results = arrow ? each(splitAt(outside.slice(1), [T.Comma]), reading.result) : [];
  const head: Head = {
    name: { text: present(name).image, span: spanOf(reading.source, present(name)) },
    inputs: each(splitAt(inputs, [T.Comma]), reading.input),
    params: each(splitAt(params, [T.Comma]), reading.param),
    results: undefined,
    span: spanOf(reading.source, present(name)),
  };
  if (!reported || others.length > 0) reading.report(mistake, tokens);
  return { ...head, results: reported || results.length === 0 ? undefined : results };
}

/** Parts between tokens of `types` that stand outside of brackets; none of nothing. */
function splitAt(
  tokens: readonly IToken[],
  types: readonly TokenType[],
): readonly (readonly IToken[])[] {
  const out: IToken[][] = [];
  let depth = 0;
  for (const token of tokens) {
    const splits = depth === 0 && is(token, ...types);
    if (out.length === 0) out.push([]);
    if (splits) out.push([]);
    else out.at(-1)?.push(token);
    if (is(token, T.LeftParen, T.LeftBracket)) depth++;
    if (is(token, T.RightParen, T.RightBracket)) depth = Math.max(0, depth - 1);
  }
  return out;
}

/** The names of a first line with mistakes that no input or parameter of it declares. */
function lostNames(tokens: readonly IToken[], head: Head, { source }: Reading): StmtAst {
  const declared = new Set([...head.inputs, ...head.params].map((d) => d.name.text));
  const names = tokens
    .slice(1)
    .filter((t) => is(t, T.Identifier) && !declared.has(t.image))
    .map((t): Name => ({ text: t.image, span: spanOf(source, t) }));
  return { kind: 'broken', names, span: head.span };
}

export function recoverSheet(tokens: readonly IToken[], reading: SheetReading): SheetAst {
  const items = itemsOf(tokens).flatMap((item) => {
    const found = reading.item(item);
    if ('value' in found) return [found.value];
    reading.report(found.mistake, item);
    return [];
  });
  return { groups: items.flatMap((i) => i.groups), rules: items.flatMap((i) => i.rules) };
}

/** Rules end with their braces, groups with the line. */
function itemsOf(tokens: readonly IToken[]): readonly (readonly IToken[])[] {
  const out: IToken[][] = [];
  let depth = 0;
  for (const [k, token] of tokens.entries()) {
    const current = out.at(-1);
    const before = current?.at(-1);
    const group = is(current?.[0], T.Identifier) && current?.[0]?.image === 'group';
    const ended = depth === 0 && (is(before, T.RightBrace) || (group && beginsLine(tokens, k)));
    if (!current || ended) out.push([token]);
    else current.push(token);
    if (is(token, T.LeftBrace)) depth++;
    if (is(token, T.RightBrace)) depth--;
  }
  return out;
}

function recoverBody(tokens: readonly IToken[], reading: TemplateReading): readonly StmtAst[] {
  return statementsOf(tokens).map((own) => recoverStatement(own, reading));
}

function recoverStatement(tokens: readonly IToken[], reading: TemplateReading): StmtAst {
  const whole = reading.statement(tokens);
  if ('value' in whole) return whole.value;
  const open = tokens.findIndex((t) => is(t, T.LeftBrace));
  if (open < 0) {
    reading.report(whole.mistake, tokens);
    return broken(tokens, reading.source);
  }
  const close = closeOf(tokens, open);
  const body = recoverBody(tokens.slice(open + 1, close), reading);
  const head = reading.statement([...tokens.slice(0, open + 1), ...tokens.slice(close, close + 1)]);
  if ('mistake' in head) {
    reading.report(head.mistake, tokens.slice(0, open + 1));
    return broken(tokens.slice(0, Math.max(open, 1)), reading.source);
  }
  const otherwise = recoverElse(tokens.slice(close + 1), reading);
  const { value } = head;
  if (value.kind === 'repeat' && otherwise.length === 0) return { ...value, body };
  if (value.kind === 'if') return { ...value, then: body, otherwise };
  return broken(tokens, reading.source);
}

function recoverElse(tokens: readonly IToken[], reading: TemplateReading): readonly StmtAst[] {
  const [word, next] = tokens;
  if (!word) return [];
  if (is(word, T.Else) && is(next, T.LeftBrace)) {
    const close = closeOf(tokens, 1);
    const rest = tokens.slice(close + 1);
    return [
      ...recoverBody(tokens.slice(2, close), reading),
      ...(rest.length > 0 ? [recoverStatement(rest, reading)] : []),
    ];
  }
  return [recoverStatement(is(word, T.Else) && next ? tokens.slice(1) : tokens, reading)];
}

/** Index of the `}` of the `{` at `open`. */
function closeOf(tokens: readonly IToken[], open: number): number {
  let depth = 0;
  for (let k = open; k < tokens.length; k++) {
    if (is(tokens[k], T.LeftBrace)) depth++;
    if (is(tokens[k], T.RightBrace) && --depth === 0) return k;
  }
  return tokens.length;
}

const keywords = [T.Weight, T.Use, T.Repeat, T.If, T.Return];
/** What an expression may end with. */
const ends = [
  T.Identifier, T.NumberLiteral, T.TextLiteral, T.Hole, T.True, T.False,
  T.RightParen, T.RightBracket, T.RightBrace,
]; // prettier-ignore

/**
 * A statement begins with a keyword or a name at the beginning of a line: outside of parentheses, or
 * inside of ones that its column says were never closed.
 */
function statementsOf(tokens: readonly IToken[]): readonly (readonly IToken[])[] {
  const out: IToken[][] = [];
  let parens = 0;
  let braces = 0;
  for (const [k, token] of tokens.entries()) {
    const current = out.at(-1);
    const before = current?.at(-1);
    const first = beginsLine(tokens, k) || is(before, T.RightBrace);
    const opens = is(token, T.Identifier, ...keywords) && first && braces === 0;
    const start = current?.[0]?.startColumn ?? 0;
    const outdented = beginsLine(tokens, k) && (token.startColumn ?? 0) <= start;
    const goesOn = !is(before, ...ends) && !is(token, ...keywords);
    if (!current || (opens && (outdented || (parens === 0 && !goesOn)))) {
      out.push([token]);
      parens = 0;
      braces = 0;
    } else current.push(token);
    if (is(token, T.LeftParen, T.LeftBracket)) parens++;
    if (is(token, T.RightParen, T.RightBracket)) parens = Math.max(0, parens - 1);
    if (is(token, T.LeftBrace)) {
      braces++;
      parens = 0;
    }
    if (is(token, T.RightBrace)) braces--;
  }
  return out;
}

/** What a statement would define, so that its uses are no further mistakes. */
function broken(tokens: readonly IToken[], source: Source): StmtAst {
  const [first] = tokens;
  const end = tokens.findIndex((t) => is(t, T.Assign));
  const names: Name[] = [];
  const name = (k: number): Name => {
    const token = present(tokens[k]);
    let text = token.image;
    let last = token;
    for (let n = k; is(tokens[n + 1], T.Dot) && is(tokens[n + 2], T.Identifier); n += 2) {
      last = present(tokens[n + 2]);
      text = `${text}.${last.image}`;
    }
    return { text, span: { ...spanOf(source, token), end: spanOf(source, last).end } };
  };
  for (const [k, token] of tokens.entries()) {
    if (!is(token, T.Identifier) || is(tokens[k - 1], T.Dot)) continue;
    const declares = is(first, T.Weight) && (k === 1 || is(tokens[k - 1], T.Comma));
    const used = is(first, T.Use) && k === 1;
    const assigned =
      is(first, T.Identifier) && (k === 0 || (end > k && is(tokens[k - 1], T.Comma)));
    if (declares || used || assigned) names.push(name(k));
  }
  return { kind: 'broken', names, span: spanOf(source, present(first)) };
}
