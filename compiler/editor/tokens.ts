/** TypeScript as tokens: whatever is typed gives some, and nothing throws. */
import jsTokens from 'js-tokens';

/** Offsets into a file's text; `end` is exclusive. */
export interface Range {
  readonly start: number;
  readonly end: number;
}

export interface Token extends Range {
  readonly kind: 'name' | 'number' | 'text' | 'regex' | 'template' | 'sign' | 'other';
  readonly text: string;
  /** kind `template`: which part of the literal it is. */
  readonly part?: 'whole' | 'head' | 'middle' | 'tail';
  /** kind `template`: false for a literal that goes on to the end of the file. */
  readonly closed?: boolean;
  /** The last comment before the token, with its marks. */
  readonly comment?: string;
}

const parts = {
  NoSubstitutionTemplate: 'whole',
  TemplateHead: 'head',
  TemplateMiddle: 'middle',
  TemplateTail: 'tail',
} as const;

const kinds = {
  IdentifierName: 'name',
  PrivateIdentifier: 'name',
  NumericLiteral: 'number',
  StringLiteral: 'text',
  RegularExpressionLiteral: 'regex',
  Punctuator: 'sign',
} as const;

const isPart = (type: string): type is keyof typeof parts => Object.hasOwn(parts, type);
const isKind = (type: string): type is keyof typeof kinds => Object.hasOwn(kinds, type);

/** The tokens of a file, comments and white space left out. `jsx`: the file is a `.tsx` or `.jsx`. */
export function tokensOf(text: string, jsx = false): readonly Token[] {
  const out: Token[] = [];
  let at = 0;
  let comment: string | undefined;
  for (const token of jsx ? jsTokens(text, { jsx: true }) : jsTokens(text)) {
    const { type, value } = token;
    const range = { text: value, start: at, end: at + value.length };
    at = range.end;
    if (type === 'MultiLineComment' || type === 'SingleLineComment') comment = value;
    if (blank.includes(type)) continue;
    const told = comment === undefined ? {} : { comment };
    comment = undefined;
    if (isPart(type)) {
      const closed = !('closed' in token) || token.closed;
      out.push({ kind: 'template', ...range, ...told, part: parts[type], closed });
    } else out.push({ kind: isKind(type) ? kinds[type] : 'other', ...range, ...told });
  }
  return out;
}

const blank: readonly string[] = [
  'MultiLineComment',
  'SingleLineComment',
  'HashbangComment',
  'WhiteSpace',
  'LineTerminatorSequence',
];
