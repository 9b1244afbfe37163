/** Where tokens stand apart on a line, and what the tree says of them that the tokens do not. */
import type { IToken, TokenType } from 'chevrotain';
import type { SheetAst, TemplateAst } from './ast.ts';
import { statementsOf } from './walk.ts';
import * as T from './tokens.ts';

/** Tokens by their numbers. */
export interface Marks {
  /** Each begins a statement, rule, group or setting. */
  readonly starts: ReadonlySet<number>;
  /** Each begins a setting. */
  readonly settings: ReadonlySet<number>;
  /** Tokens of selectors, but for what their tests compare. */
  readonly selectors: ReadonlySet<number>;
  /** Brackets of shapes. */
  readonly shapes: ReadonlySet<number>;
  /** Minus signs with no value before them. */
  readonly unary: ReadonlySet<number>;
  /** Bars that end the parameters of a function. */
  readonly closing: ReadonlySet<number>;
}

const values: ReadonlySet<TokenType> = new Set([
  T.Identifier, T.NumberLiteral, T.TextLiteral, T.Hole, T.True, T.False, T.RightParen,
  T.RightBracket,
]); // prettier-ignore
const afterTight: ReadonlySet<TokenType> = new Set([T.LeftParen, T.LeftBracket, T.Dot, T.DotDot]);
const beforeTight: ReadonlySet<TokenType> = new Set([
  T.RightParen, T.RightBracket, T.Comma, T.Semicolon, T.Dot, T.DotDot, T.Colon,
]); // prettier-ignore

/** The space before token `k` on a line. */
export function spaceBefore(k: number, tokens: readonly IToken[], marks: Marks): '' | ' ' {
  const [p, c] = [tokens[k - 1]?.tokenType, tokens[k]?.tokenType];
  if (!p || !c) return '';
  if (marks.selectors.has(k) && marks.selectors.has(k - 1)) return p === T.Comma ? ' ' : '';
  if (marks.unary.has(k - 1) || afterTight.has(p) || beforeTight.has(c)) return '';
  if (p === T.Bar && !marks.closing.has(k - 1)) return '';
  if (marks.closing.has(k)) return '';
  if (c === T.LeftParen) return values.has(p) ? '' : ' ';
  if (c === T.LeftBracket) return values.has(p) && !marks.shapes.has(k) ? '' : ' ';
  return ' ';
}

export function marksOf(ast: TemplateAst | SheetAst, tokens: readonly IToken[]): Marks {
  const numbers = new Map(tokens.map((t, k) => [t.startOffset, k]));
  const at = (offsets: Iterable<number>): ReadonlySet<number> =>
    new Set([...offsets].map((o) => numbers.get(o) ?? -1));
  const within = (spans: readonly { start: number; end: number }[]): number[] =>
    tokens.flatMap((t, k) =>
      spans.some((s) => t.startOffset >= s.start && t.startOffset < s.end) ? [k] : [],
    );
  const unary = new Set<number>();
  const closing = new Set<number>();
  let opened = false;
  tokens.forEach((t, k) => {
    const before = tokens[k - 1];
    if (t.tokenType === T.Bar) {
      if (opened) closing.add(k);
      opened = !opened;
    }
    if (t.tokenType === T.Minus && !(before && values.has(before.tokenType))) unary.add(k);
  });
  const signs = { unary, closing, shapes: at(shapesIn(ast)) };
  if ('body' in ast) {
    const starts = at([...statementsOf(ast.body)].map((s) => s.span.start));
    return { ...signs, starts, settings: new Set(), selectors: new Set() };
  }
  const settings = ast.rules.flatMap((r) => r.settings.map((s) => s.name.span.start));
  const rules = ast.rules.flatMap((r) => r.selectors[0]?.span.start ?? []);
  const selectors = ast.rules.flatMap((r) => {
    const [first, last] = [r.selectors[0], r.selectors.at(-1)];
    return first && last ? [{ start: first.span.start, end: last.span.end }] : [];
  });
  const tests = ast.rules
    .flatMap((r) => r.selectors)
    .flatMap((s) => s.segments)
    .flatMap((s) => s.tests)
    .map((t) => ({ start: t.name.span.end, end: t.value.span.end }));
  const compared = new Set(within(tests));
  return {
    ...signs,
    starts: at([...settings, ...rules, ...ast.groups.map((g) => g.span.start)]),
    settings: at(settings),
    selectors: new Set(within(selectors).filter((k) => !compared.has(k))),
  };
}

/** Offsets of the brackets of all shapes in a tree. */
function shapesIn(tree: unknown): readonly number[] {
  if (typeof tree !== 'object' || tree === null) return [];
  if (Array.isArray(tree)) return tree.flatMap(shapesIn);
  const own = 'dims' in tree && 'span' in tree ? startOf(tree.span) : [];
  const inside = Object.entries(tree).flatMap(([key, v]) => (key === 'span' ? [] : shapesIn(v)));
  return [...own, ...inside];
}

const startOf = (span: unknown): readonly number[] =>
  typeof span === 'object' && span !== null && 'start' in span && typeof span.start === 'number'
    ? [span.start]
    : [];
