/** chevrotain's exceptions in our words. */
import type { ILexingError, IRecognitionException, IToken } from 'chevrotain';
import type { Log } from '../base/diagnostic.ts';
import { present } from '../base/invariant.ts';
import type { Source } from '../base/source.ts';
import { spanOf } from './braces.ts';
import { holeMark } from './template.ts';
import * as T from './tokens.ts';

export function reportLexing(e: ILexingError, source: Source, log: Log): void {
  const span = { source, start: e.offset, end: e.offset + e.length };
  log.report('syntax/character', { found: source.text.slice(e.offset, e.offset + 1) }, [
    { span, text: '' },
  ]);
}

/** True for a token that is always a mistake, which is reported. */
export function reportToken(token: IToken, source: Source, log: Log): boolean {
  const labels = [{ span: spanOf(source, token), text: '' }];
  if (token.tokenType === T.UnclosedText) {
    log.report('syntax/unclosed-text', { quote: token.image.slice(0, 1) }, labels);
  } else if (token.tokenType === T.MalformedNumber) {
    log.report('syntax/number', { found: token.image }, labels);
  } else return false;
  return true;
}

export function reportComments(comments: readonly IToken[], source: Source, log: Log): void {
  for (const { image, startOffset: start } of comments) {
    if (!image.startsWith('/*') || (image.endsWith('*/') && image.length > 3)) continue;
    const span = { source, start, end: start + 2 };
    log.report('syntax/unclosed-comment', {}, [{ span, text: 'it begins here' }]);
  }
}

/** `read`: the tokens that were read, a statement or all of the text's `tokens`. */
export function reportParsing(
  e: IRecognitionException,
  read: readonly IToken[],
  tokens: readonly IToken[],
  source: Source,
  log: Log,
): void {
  const last = read.at(-1);
  // At the end of what was read the error token has no offset: the one behind it is unexpected.
  const behind = tokens.find((t) => t.startOffset > (last?.startOffset ?? -1));
  const token = Number.isNaN(e.token.startOffset) ? behind : e.token;
  const start = token?.startOffset ?? last?.endOffset ?? 0;
  const end = (token?.endOffset ?? start) + 1;
  if (reportConfused(e, token, tokens, source, log)) return;
  const found = !token ? 'end of the template' : token.image === holeMark ? '${...}' : token.image;
  log.report('syntax/unexpected', { found, expected: expectedOf(e) }, [
    { span: { source, start, end }, text: '' },
  ]);
}

/** A word of the language where a name belongs, or `=` where `==` does. */
function reportConfused(
  e: IRecognitionException,
  token: IToken | undefined,
  tokens: readonly IToken[],
  source: Source,
  log: Log,
): boolean {
  if (!token) return false;
  const k = tokens.indexOf(token);
  const [before, behind] = [tokens[k - 1], tokens[k + 1]];
  const isWord = (t: IToken | undefined): boolean =>
    t !== undefined && T.keywords.includes(t.tokenType);
  const named = behind?.tokenType === T.Assign || behind?.tokenType === T.Colon;
  const asName = / a name </.test(e.message) && before?.endLine === token.startLine;
  const word = isWord(token) && (named || asName) ? token : undefined;
  const assigned = token.tokenType === T.Assign;
  const given = assigned && isWord(before) ? before : word;
  if (given) {
    const labels = [{ span: spanOf(source, present(given)), text: '' }];
    log.report('syntax/reserved', { word: given.image }, labels);
    return true;
  }
  const condition = e.context.ruleStack.some((r) => r === 'ifStmt' || r === 'ifExpr');
  const statement =
    e.context.ruleStack.lastIndexOf('assignStmt') > e.context.ruleStack.lastIndexOf('ifExpr');
  if (!assigned || !condition || statement) return false;
  log.report('syntax/assignment', {}, [{ span: spanOf(source, token), text: '' }]);
  return true;
}

/** What the grammar wanted, from the exception's own text, which lists tokens by label. */
function expectedOf(e: IRecognitionException): string {
  const single = /--> (.+?) <--/.exec(e.message)?.[1];
  const rule = e.context.ruleStack.at(-1) ?? '';
  if (e.name === 'NotAllInputParsedException') return 'the end of the template';
  if (e.name === 'MismatchedTokenException' && single !== undefined) {
    return openings[`${rule} ${single}`] ?? single;
  }
  return rules[rule] ?? 'an expression';
}

/** Where the one token that fits says less than what it begins or ends. */
const openings: Readonly<Record<string, string>> = {
  'block }': 'a statement or }',
  'shape [': 'a shape such as [t, d]',
};

const rules: Readonly<Record<string, string>> = {
  sheet: 'a rule: selector { property: value }',
  selector: 'a selector such as layers[3..].experts or :attention',
  segment: 'a name, *, ** or :kind',
  suffix: 'a range such as [3..] or a test such as [heads > 8]',
  range: 'a range such as [3], [3..], [..5] or [::4]',
  statement: 'a statement: weight, use, repeat, if, return or name = ...',
  block: 'a statement or }',
  type: 'a type: int, real, bool, text, block, fn or [type]',
  shape: 'a shape such as [t, d]',
  args: 'an argument or )',
  template: 'a template: name(inputs; parameters) -> [shape] { ... }',
};
