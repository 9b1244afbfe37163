/** Tokens, in the order in which the lexer tries them. */
import { Lexer, type TokenType, createToken } from 'chevrotain';
import { holeMark } from './template.ts';

const skip = (name: string, pattern: RegExp): TokenType =>
  createToken({ name, pattern, group: Lexer.SKIPPED, line_breaks: true });

/** Comments stand beside the tokens: the parser sees none, the formatter all. */
export const commentGroup = 'comments';
const comment = (name: string, pattern: RegExp): TokenType =>
  createToken({ name, pattern, group: commentGroup, line_breaks: true });

export const Identifier = createToken({
  name: 'Identifier',
  pattern: /[A-Za-z_][A-Za-z_0-9]*/,
  label: 'a name',
});
const keyword = (word: string): TokenType =>
  createToken({ name: word, pattern: word, longer_alt: Identifier, label: word });
const symbolToken = (name: string, text: string): TokenType =>
  createToken({ name, pattern: text, label: text });

export const Weight = keyword('weight');
export const Use = keyword('use');
export const Repeat = keyword('repeat');
export const If = keyword('if');
export const Then = keyword('then');
export const Else = keyword('else');
export const Return = keyword('return');
export const From = keyword('from');
export const As = keyword('as');
export const And = keyword('and');
export const Or = keyword('or');
export const Not = keyword('not');
export const True = keyword('true');
export const False = keyword('false');

export const Hole = createToken({ name: 'Hole', pattern: holeMark, label: '${...}' });
export const NumberLiteral = createToken({
  name: 'NumberLiteral',
  pattern: /\d+(\.\d+)?([eE][+-]?\d+)?/,
  label: 'a number',
});
export const TextLiteral = createToken({
  name: 'TextLiteral',
  pattern: /"[^"\n]*"|'[^'\n]*'/,
  label: 'a text',
});

// A point with a name behind it reads a member, and two points are a range.
const point = /\.(?!\.|\s*(?!(?:weight|use|repeat|if|return)\b)(?:[A-Za-z_]|\/[/*]))/.source;
/** What begins as a number and is none, such as `1.`, `1e` or `1_000`: no rule takes it. */
export const MalformedNumber = createToken({
  name: 'MalformedNumber',
  pattern: new RegExp(
    `(?!\\d+(\\.\\d+)?([eE][+-]?\\d+)?(?!\\w|${point}))` +
      `\\d+(\\.\\d+)?([eE](?=[+-])[+-])?\\w*(${point})?`,
  ),
  start_chars_hint: [...'0123456789'],
});
/** A quote without another on its line, up to the line's end. */
export const UnclosedText = createToken({
  name: 'UnclosedText',
  pattern: /"[^"\n]*|'[^'\n]*/,
});

export const Arrow = symbolToken('Arrow', '->');
export const DotDot = symbolToken('DotDot', '..');
export const Dot = symbolToken('Dot', '.');
export const LessEqual = symbolToken('LessEqual', '<=');
export const GreaterEqual = symbolToken('GreaterEqual', '>=');
export const Equal = symbolToken('Equal', '==');
export const NotEqual = symbolToken('NotEqual', '!=');
export const Less = symbolToken('Less', '<');
export const Greater = symbolToken('Greater', '>');
export const Assign = symbolToken('Assign', '=');
export const Plus = symbolToken('Plus', '+');
export const Minus = symbolToken('Minus', '-');
export const Star = symbolToken('Star', '*');
export const Slash = symbolToken('Slash', '/');
export const Percent = symbolToken('Percent', '%');
export const At = symbolToken('At', '@');
export const Caret = symbolToken('Caret', '^');
export const Bar = symbolToken('Bar', '|');
export const LeftParen = symbolToken('LeftParen', '(');
export const RightParen = symbolToken('RightParen', ')');
export const LeftBracket = symbolToken('LeftBracket', '[');
export const RightBracket = symbolToken('RightBracket', ']');
export const LeftBrace = symbolToken('LeftBrace', '{');
export const RightBrace = symbolToken('RightBrace', '}');
export const Comma = symbolToken('Comma', ',');
export const Semicolon = symbolToken('Semicolon', ';');
export const Colon = symbolToken('Colon', ':');

export const keywords = [
  Weight,
  Use,
  Repeat,
  If,
  Then,
  Else,
  Return,
  From,
  As,
  And,
  Or,
  Not,
  True,
  False,
];

export const tokens: TokenType[] = [
  skip('Space', /\s+/),
  comment('LineComment', /\/\/[^\n]*/),
  // One that is not closed goes on to the end of its line.
  comment('BlockComment', /\/\*([\s\S]*?\*\/|[^\n]*)/),
  ...keywords,
  Identifier,
  MalformedNumber,
  NumberLiteral,
  TextLiteral,
  UnclosedText,
  Hole,
  Arrow,
  DotDot,
  Dot,
  LessEqual,
  GreaterEqual,
  Equal,
  NotEqual,
  Less,
  Greater,
  Assign,
  Plus,
  Minus,
  Star,
  Slash,
  Percent,
  At,
  Caret,
  Bar,
  LeftParen,
  RightParen,
  LeftBracket,
  RightBracket,
  LeftBrace,
  RightBrace,
  Comma,
  Semicolon,
  Colon,
];
