/**
 * Templates laid out anew: the tokens and comments stay as they are and in order, only the space
 * between them changes, so that the tree stays the same. Formatting twice changes nothing more.
 */
import type { IToken, TokenType } from 'chevrotain';
import type { Log } from '../base/diagnostic.ts';
import { type Doc, group, hardline, layOut, line, nest, softline } from '../base/layout.ts';
import type { Source } from '../base/source.ts';
import { type Gap, type Gaps, makeGaps } from './gaps.ts';
import { lexer, parse, parseSheet } from './parse.ts';
import { type Marks, marksOf, spaceBefore } from './spacing.ts';
import { type SheetKind, type Template, holeMark, isSheetKind } from './template.ts';
import * as T from './tokens.ts';

export interface Place {
  /** The space that the tag's line begins with. */
  readonly indent: string;
  /** Columns before the text. */
  readonly column: number;
  /** Columns that a line may have. */
  readonly width: number;
}

/**
 * The text between the backticks, holes as in `holes`. Undefined after a mistake, which goes to `log`,
 * and for a text of space alone.
 */
export function formatText(
  kind: Template['kind'] | SheetKind,
  source: Source,
  holes: readonly string[],
  place: Place,
  log: Log,
): string | undefined {
  const ast = isSheetKind(kind)
    ? parseSheet({ kind, source, holes: [] }, log)
    : parse({ kind, source, holes: [] }, log);
  if (log.failed || !ast) return undefined;
  const { tokens, groups } = lexer.tokenize(source.text);
  const comments = groups[T.commentGroup] ?? [];
  if (tokens.length + comments.length === 0) return undefined;
  const layout = makeLayout(source.text, tokens, comments, marksOf(ast, tokens), holes);
  const multiline = source.text.includes('\n');
  if (!multiline) {
    const one = layOut(layout.whole, place.indent, place.column, place.width - 1);
    if (!one.includes('\n')) return one;
  }
  const own = `${place.indent}  `;
  return `\n${own}${layOut(layout.whole, own, own.length, place.width)}\n${place.indent}`;
}

interface Leaf {
  readonly at: number;
}

interface Bracket {
  readonly open: number;
  readonly inner: readonly Node[];
  readonly close: number;
}

type Node = Leaf | Bracket;

const closers = new Map<TokenType, TokenType>([
  [T.LeftParen, T.RightParen],
  [T.LeftBracket, T.RightBracket],
  [T.LeftBrace, T.RightBrace],
  [T.Bar, T.Bar],
]);

function readNodes(tokens: readonly IToken[]): readonly Node[] {
  let k = 0;
  const upTo = (close: TokenType | undefined): Node[] => {
    const nodes: Node[] = [];
    for (let t = tokens[k]; t && t.tokenType !== close; t = tokens[k]) {
      const at = k++;
      const end = closers.get(t.tokenType);
      if (!end) nodes.push({ at });
      else {
        const inner = upTo(end);
        nodes.push({ open: at, inner, close: k++ });
      }
    }
    return nodes;
  };
  return upTo(undefined);
}

const firstOf = (n: Node): number => ('at' in n ? n.at : n.open);

/** Operators from those that bind least; a chain breaks before the first of these that it has. */
const operators: readonly (readonly TokenType[])[] = [
  [T.Or],
  [T.And],
  [T.Less, T.LessEqual, T.Greater, T.GreaterEqual, T.Equal, T.NotEqual],
  [T.Plus, T.Minus],
  [T.Star, T.Slash, T.Percent],
  [T.At],
];
const words: readonly TokenType[] = [T.Weight, T.Use, T.Repeat, T.If, T.Else, T.Return];

function makeLayout(
  text: string,
  tokens: readonly IToken[],
  comments: readonly IToken[],
  marks: Marks,
  holes: readonly string[],
): { readonly whole: Doc } {
  const gaps: Gaps = makeGaps(text, tokens, comments);
  let hole = 0;
  const images = tokens.map((t) => (t.image === holeMark ? (holes[hole++] ?? '') : t.image));
  const typeOf = (n: Node | undefined): TokenType | undefined =>
    n && 'at' in n ? tokens[n.at]?.tokenType : undefined;
  const opens = (n: Node): TokenType | undefined =>
    'open' in n ? tokens[n.open]?.tokenType : undefined;
  const isBrace = (n: Node): n is Bracket => opens(n) === T.LeftBrace;
  const isBinary = (n: Node, of: readonly TokenType[]): boolean => {
    const type = typeOf(n);
    return type !== undefined && of.includes(type) && !marks.unary.has(firstOf(n));
  };

  /** Tokens whose gaps are laid out already, outside of the groups that they begin. */
  const begun = new Set<number>();
  function begin(nodes: readonly Node[], gap: (k: number) => Gap): Doc {
    const k = firstOf(nodes[0] ?? { at: tokens.length });
    begun.add(k);
    const { lead, last } = gap(k);
    return [lead, last];
  }
  const beginWith = (nodes: readonly Node[], separator: Doc): Doc =>
    begin(nodes, (k) => gaps.inside(k, separator));

  /** Token `k` with what stands before it. */
  function token(k: number): Doc {
    const image = images[k] ?? '';
    if (begun.has(k)) return image;
    const { lead, last } = gaps.inside(k, spaceBefore(k, tokens, marks));
    return [lead, last, image];
  }

  const flat = (nodes: readonly Node[]): Doc =>
    nodes.map((n) => ('at' in n ? token(n.at) : bracket(n)));

  function bracket(b: Bracket): Doc {
    const open = token(b.open);
    const end = gaps.inside(b.close, '');
    const close = images[b.close] ?? '';
    if (opens(b) === T.Bar) return [open, flat(b.inner), end.lead, end.last, close];
    if (b.inner.length === 0) return [open, group([nest(end.lead), end.last]), close];
    // A shape stands on one line: what it belongs to breaks before it does.
    const shape = marks.shapes.has(b.open);
    const [edge, between]: readonly [Doc, Doc] = shape ? ['', ' '] : [softline, line];
    const inner = separated(b.inner).map((p, i) => [
      beginWith(p, i === 0 ? edge : between),
      shape ? flat(p) : part(p),
    ]);
    const last = end.last === '' ? edge : end.last;
    return [open, group([nest([inner, end.lead]), last, close])];
  }

  /** Parts with their commas or semicolons at the end. */
  function separated(nodes: readonly Node[]): readonly (readonly Node[])[] {
    const parts: Node[][] = [[]];
    nodes.forEach((n, i) => {
      parts.at(-1)?.push(n);
      const type = typeOf(n);
      if ((type === T.Comma || type === T.Semicolon) && i < nodes.length - 1) parts.push([]);
    });
    return parts;
  }

  /** What stands between commas: `name = value`, `name: type = value`, an expression. */
  function part(nodes: readonly Node[]): Doc {
    const assign = nodes.findIndex((n) => typeOf(n) === T.Assign);
    if (assign < 0) return expression(nodes);
    return [flat(nodes.slice(0, assign + 1)), expression(nodes.slice(assign + 1))];
  }

  function expression(nodes: readonly Node[]): Doc {
    const [head, ...rest] = nodes;
    if (!head) return '';
    if (typeOf(head) === T.If) {
      return chain(nodes, (n) => typeOf(n) === T.Then || typeOf(n) === T.Else);
    }
    if (opens(head) === T.Bar) return [flat([head]), expression(rest)];
    const loosest = operators.find((of) => nodes.some((n) => isBinary(n, of)));
    return loosest ? chain(nodes, (n) => isBinary(n, loosest)) : flat(nodes);
  }

  /** Breaks before each node that `begins` a link. */
  function chain(nodes: readonly Node[], begins: (n: Node) => boolean): Doc {
    const links: Node[][] = [[]];
    for (const n of nodes) {
      if (begins(n)) links.push([]);
      links.at(-1)?.push(n);
    }
    const [start = [], ...others] = links;
    const opening = typeOf(start[0]) === T.If ? headed(start) : expression(start);
    return group([opening, nest(others.map((l) => [beginWith(l, line), headed(l)]))]);
  }

  function headed([head, ...rest]: readonly Node[]): Doc {
    return head ? [flat([head]), expression(rest)] : '';
  }

  /** A statement, rule, group or setting; its first token has had its gap. */
  function statement(nodes: readonly Node[]): Doc {
    const braces = nodes.findIndex(isBrace);
    if (braces < 0) return simple(nodes);
    const brace = nodes[braces];
    const rest = nodes.slice(braces + 1);
    return [
      simple(nodes.slice(0, braces)),
      brace && 'open' in brace ? block(brace) : '',
      rest.length === 0 ? '' : after(rest),
    ];
  }

  /** `else` and its block, with a space before it. */
  function after(nodes: readonly Node[]): Doc {
    const [head, ...rest] = nodes;
    if (!head) return '';
    if (isBrace(head)) return [block(head), after(rest)];
    const braces = rest.findIndex(isBrace);
    const upTo = braces < 0 ? rest.length : braces;
    return [token(firstOf(head)), header(rest.slice(0, upTo)), after(rest.slice(upTo))];
  }

  const header = (nodes: readonly Node[]): Doc => {
    const [head] = nodes;
    if (!head) return '';
    return typeOf(head) === T.If ? headed(nodes) : part(nodes);
  };

  function simple(nodes: readonly Node[]): Doc {
    const [head, ...rest] = nodes;
    if (!head) return '';
    const type = typeOf(head);
    const word = type !== undefined && words.includes(type);
    const own = word ? flat([head]) : '';
    const body = word ? rest : nodes;
    if (type === T.If) return [own, expression(body)];
    const selectors = marks.selectors.has(firstOf(head));
    const several = type === T.Weight || type === T.Return || selectors;
    if (several) {
      const parts = separated(body).map((p, i) => {
        const before = i === 0 ? '' : beginWith(p, line);
        const laid = [before, selectors ? flat(p) : part(p)];
        return i === 0 ? laid : nest(laid);
      });
      return [own, group(parts)];
    }
    const colon = body.findIndex((n) => typeOf(n) === T.Colon);
    if (type !== T.Use && marks.settings.has(firstOf(head)) && colon >= 0) {
      return [flat(body.slice(0, colon + 1)), expression(body.slice(colon + 1))];
    }
    return [own, part(body)];
  }

  /** Statements between braces: on one line where they stand so, are few and fit. */
  function block(b: Bracket): Doc {
    const open = token(b.open);
    const found = statements(b.inner);
    const from = tokens[b.open]?.startOffset ?? 0;
    const within = text.slice(from, tokens[b.close]?.startOffset);
    const few = found.length <= 1 || marks.settings.has(firstOf(found[0]?.[0] ?? { at: -1 }));
    const close = images[b.close] ?? '';
    if (!within.includes('\n') && few && !b.inner.some(isBrace)) {
      const end = gaps.inside(b.close, '');
      if (found.length === 0) return [open, end.lead, end.last, close];
      const inner = found.map((s) => [beginWith(s, line), statement(s)]);
      return [open, group([nest([inner, end.lead]), end.last === '' ? line : end.last, close])];
    }
    const end = gaps.between(b.close, 'last');
    if (found.length === 0) {
      const { lead } = gaps.between(b.close, 'first');
      return flatEmpty(lead) ? [open, close] : [open, nest(lead), hardline, close];
    }
    return [open, nest([lines(found, true), end.lead]), end.last, close];
  }

  const lines = (found: readonly (readonly Node[])[], edge: boolean): Doc =>
    found.map((s, i) => [
      begin(s, (k) => gaps.between(k, edge && i === 0 ? 'first' : undefined)),
      statement(s),
    ]);

  function statements(nodes: readonly Node[]): readonly (readonly Node[])[] {
    const found: Node[][] = [];
    for (const n of nodes) {
      const begins = marks.starts.has(firstOf(n)) && tokens[firstOf(n) - 1]?.tokenType !== T.Else;
      if (begins || found.length === 0) found.push([]);
      found.at(-1)?.push(n);
    }
    return found;
  }

  const end = gaps.between(tokens.length, 'last');
  return { whole: [lines(statements(readNodes(tokens)), false), end.lead] };
}

const flatEmpty = (doc: Doc): boolean => Array.isArray(doc) && doc.length === 0;
