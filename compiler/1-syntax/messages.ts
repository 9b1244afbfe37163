/** chevrotain's exceptions in our words. */
import type { ILexingError, IRecognitionException, IToken } from 'chevrotain';
import type { Log } from '../base/diagnostic.ts';
import type { Source } from '../base/source.ts';
import { holeMark } from './template.ts';

export function reportLexing(e: ILexingError, source: Source, log: Log): void {
  const span = { source, start: e.offset, end: e.offset + e.length };
  log.report('syntax/character', { found: source.text.slice(e.offset, e.offset + 1) }, [
    { span, text: '' },
  ]);
}

export function reportParsing(
  e: IRecognitionException,
  tokens: readonly IToken[],
  source: Source,
  log: Log,
): void {
  const last = tokens.at(-1);
  // At the end of input the error token has no offset.
  const atEnd = Number.isNaN(e.token.startOffset);
  const start = atEnd ? (last?.endOffset ?? 0) : e.token.startOffset;
  const end = atEnd ? start + 1 : (e.token.endOffset ?? start) + 1;
  const image = e.token.image === holeMark ? '${...}' : e.token.image;
  const found = atEnd ? 'end of the template' : image;
  log.report('syntax/unexpected', { found, expected: expectedOf(e) }, [
    { span: { source, start, end }, text: '' },
  ]);
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
  statement: 'a statement: weight, use, repeat, if, return or name = ...',
  block: 'a statement or }',
  type: 'a type: int, real, bool, text, block, fn or [type]',
  shape: 'a shape such as [t, d]',
  args: 'an argument or )',
  template: 'a template: name(inputs; parameters) -> [shape] { ... }',
};
