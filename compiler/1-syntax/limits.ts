/** How much one template may hold: more is a mistake, not a hang or an overflow. */
import type { IToken } from 'chevrotain';
import type { Log } from '../base/diagnostic.ts';
import { isSpan, type Source, type Span } from '../base/source.ts';
import { spanOf } from './braces.ts';
import * as T from './tokens.ts';

/** Published models take less than a tenth of it. */
const mostCharacters = 1 << 16;
/** Brackets inside brackets, and expressions or statements inside others. */
const mostLevels = 128;

/** False where the text is too long, which is reported. */
export function textWithinLimits(source: Source, log: Log): boolean {
  const { length } = source.text;
  if (length <= mostCharacters) return true;
  const span = { source, start: mostCharacters, end: mostCharacters + 1 };
  const labels = [{ span, text: `character ${mostCharacters}` }];
  log.report('syntax/too-long', { found: length, most: mostCharacters }, labels);
  return false;
}

/** False where brackets go too deep, which is reported. */
export function bracketsWithinLimits(source: Source, tokens: readonly IToken[], log: Log): boolean {
  let level = 0;
  for (const token of tokens) {
    if ([T.LeftParen, T.LeftBracket, T.LeftBrace].includes(token.tokenType)) level++;
    if ([T.RightParen, T.RightBracket, T.RightBrace].includes(token.tokenType)) level--;
    if (level > mostLevels) return deep(spanOf(source, token), log);
  }
  return true;
}

/** The same for what a tree holds without brackets: a ^ b ^ c, a + b + c, else if. */
export function treeWithinLimits(tree: object, log: Log): boolean {
  const open: {
    readonly node: unknown;
    readonly level: number;
    readonly span: Span | undefined;
  }[] = [{ node: tree, level: 0, span: undefined }];
  for (let next = open.pop(); next; next = open.pop()) {
    const { node } = next;
    if (typeof node !== 'object' || node === null) continue;
    const level = next.level + ('kind' in node ? 1 : 0);
    const span = 'span' in node && isSpan(node.span) ? node.span : next.span;
    if (level > mostLevels && span) return deep(span, log);
    for (const [key, value] of Object.entries(node)) {
      if (key !== 'span') open.push({ node: value, level, span });
    }
  }
  return true;
}

/** A parser that ran out of stack was asked for too many levels. */
export function guardDepth<T>(log: Log, span: Span, read: () => T): T | undefined {
  try {
    return read();
  } catch (e) {
    if (!(e instanceof RangeError)) throw e;
    deep(span, log);
    return undefined;
  }
}

function deep({ source, start }: Span, log: Log): false {
  const span = { source, start, end: start + 1 };
  log.report('syntax/too-deep', { most: mostLevels }, [{ span, text: 'too deep here' }]);
  return false;
}
